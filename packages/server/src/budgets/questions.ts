import type { Approvals } from '../approvals/approvals.ts';
import type { Clock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { CallOwner, HeldTurn } from '../core/model-accounts.ts';
import type { ApprovalStore, BudgetRow, BudgetStore } from '../store/store.ts';

export interface QuestionDeps {
  readonly budgets: Pick<BudgetStore, 'raise'>;
  readonly store: Pick<ApprovalStore, 'list'>;
  readonly approvals: Pick<Approvals, 'ask' | 'waiting'>;
  readonly clock: Clock;
  readonly currency: string;
  /** How long a connection is held open before the turn gives its sandbox up and waits without one. */
  readonly holdMs: number;
}

export interface Question {
  readonly owner: CallOwner;
  readonly turn: HeldTurn | undefined;
  readonly budget: BudgetRow;
  /** What the call needs. */
  readonly amountMicros: number;
  readonly signal: AbortSignal;
}

/**
 * Asks a person whether a budget is raised. `raised`: there may be room now; `stop`: the turn has to do without.
 * Nothing of it is only in memory: a turn that is taken up again finds the answer, and a raise counts once.
 */
export async function askToRaise(deps: QuestionDeps, question: Question): Promise<'raised' | 'stop'> {
  const { approvals } = deps;
  const { turn, budget, owner, signal } = question;
  if (turn === undefined) return 'stop';
  const earlier = await honourAnswers(deps, question, turn.id);
  if (earlier !== undefined) return earlier;
  const { tenantId, sessionId } = owner;
  try {
    const subject = subjectOf(budget, deps.currency);
    const { id } = await approvals.ask({ tenantId, sessionId, turnId: turn.id, kind: 'budget', subject });
    const answered = await held(deps, turn, () => approvals.waiting({ tenantId, id, signal }));
    if (answered.state !== 'granted') return 'stop';
    await raise(deps, question, { key: id, amountMicros: answered.raiseMicros });
    return 'raised';
  } catch (error) {
    if (isPlatformError(error, 'turn_ended') || isPlatformError(error, 'turn_not_found')) return 'stop';
    throw error;
  }
}

/** The same for every call that meets the same limit, so that they share one question. */
function subjectOf({ id, scope, subjectId, period, limitMicros, raisedMicros }: BudgetRow, currency: string) {
  return { budget_id: id, scope, subject_id: subjectId, period, limit_micros: limitMicros + raisedMicros, currency };
}

const MOST_ANSWERS = 100;

/** Answers that were given while nobody waited for them. */
async function honourAnswers(deps: QuestionDeps, question: Question, turnId: string): Promise<'raised' | 'stop' | undefined> {
  const { tenantId, sessionId } = question.owner;
  const states = ['granted', 'denied', 'expired'] as const;
  const page = await deps.store.list({ tenantId, sessionId, states, limit: MOST_ANSWERS, order: 'desc' });
  const own = page.data.filter(
    ({ kind, turnId: asked, input }) => kind === 'budget' && asked === turnId && input.budget_id === question.budget.id,
  );
  if (own.some(({ state }) => state !== 'granted')) return 'stop';
  const before = limitOf(question.budget);
  let now = before;
  for (const { id, raiseMicros } of own) now = limitOf(await raise(deps, question, { key: id, amountMicros: raiseMicros }));
  return now > before ? 'raised' : undefined;
}

function limitOf({ limitMicros, raisedMicros }: BudgetRow): number {
  return limitMicros + raisedMicros;
}

/** Left open by how much: by as much again as it was, and at least by what the call needs. */
async function raise(
  { budgets, clock }: QuestionDeps,
  { budget, amountMicros: needed }: Question,
  { key, amountMicros }: { readonly key: string; readonly amountMicros: number | null },
): Promise<BudgetRow> {
  const { tenantId, id, limitMicros } = budget;
  return budgets.raise({ tenantId, id, key, amountMicros: amountMicros ?? Math.max(limitMicros, needed), now: clock.now() });
}

async function held<T>({ clock, holdMs }: QuestionDeps, turn: HeldTurn, wait: () => Promise<T>): Promise<T> {
  const cancel = clock.after(holdMs, () => turn.park());
  try {
    return await wait();
  } finally {
    cancel();
  }
}
