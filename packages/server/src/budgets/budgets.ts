import type { Budget, BudgetCreate } from '@cloister/api';
import { mapPage, requireAgent } from '../agents/agents.ts';
import type { Approvals } from '../approvals/approvals.ts';
import { actingNow } from '../audit/acting.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { AuditAction, AuditSink } from '../core/audit.ts';
import { DAY_MS, nextMonth } from '../core/periods.ts';
import type { BudgetRow, BudgetScope, Page, PageInput, Store } from '../store/store.ts';

/** Hard limits in money. Ids of other tenants are as missing ones. */
export interface Budgets {
  /** With `id`, the budget is the one of that id, made now or by an earlier try. */
  create(tenantId: string, body: BudgetCreate, id?: string): Promise<Budget>;
  get(tenantId: string, id: string): Promise<Budget>;
  list(
    tenantId: string,
    input: PageInput & { readonly scope?: BudgetScope | undefined; readonly subjectId?: string | undefined },
  ): Promise<Page<Budget>>;
  update(tenantId: string, id: string, limit: number): Promise<Budget>;
  /** Adds to the limit, once per key; turns that were asked about it go on. */
  raise(tenantId: string, id: string, amount: number, key?: string): Promise<Budget>;
  remove(tenantId: string, id: string): Promise<void>;
}

export interface BudgetsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly audit: AuditSink;
  readonly approvals: Pick<Approvals, 'answer'>;
  readonly currency: string;
  /** Tells this server's gateway that budgets were made or removed. */
  readonly onChanged: () => Promise<void>;
}

const MICROS = 1_000_000;
const MAX_BUDGETS = 10_000;
/** Questions that one raise answers. */
const MAX_ANSWERED = 100;

export function createBudgets(deps: BudgetsDeps): Budgets {
  const { store, clock, onChanged } = deps;
  const show = (row: BudgetRow): Budget => toBudget(row, deps.currency, clock.now());
  const tell = ({ tenantId, id: subject }: BudgetRow, action: AuditAction, detail: Readonly<Record<string, string | number>>) =>
    deps.audit.record({ tenantId, actor: actingNow(), action, subject, detail });

  async function requireBudget(tenantId: string, id: string): Promise<BudgetRow> {
    const row = await store.budgets.find({ tenantId, id, now: clock.now() });
    if (row === undefined) throw new PlatformError('budget_not_found', { detail: `There is no budget "${id.slice(0, 80)}".` });
    return row;
  }

  return {
    async create(tenantId, { scope, subject_id: given, period, limit }, id = newId('budget')) {
      const subjectId = await subjectOf(store, tenantId, scope, given);
      const limitMicros = toMicros(limit);
      const row = await store.budgets.create({ id, tenantId, scope, subjectId, period, limitMicros, max: MAX_BUDGETS, now: clock.now() });
      await onChanged();
      await tell(row, 'budget.created', { scope, subject: subjectId, period, limit_micros: limitMicros });
      return show(row);
    },
    get: async (tenantId, id) => show(await requireBudget(tenantId, id)),
    list: async (tenantId, input) => mapPage(await store.budgets.list({ tenantId, ...input, now: clock.now() }), show),
    async update(tenantId, id, limit) {
      const limitMicros = toMicros(limit);
      const row = await store.budgets.update({ tenantId, id, limitMicros, now: clock.now() });
      await tell(row, 'budget.changed', { limit_micros: limitMicros });
      return show(row);
    },
    async raise(tenantId, id, amount, key = newId('event')) {
      const amountMicros = toMicros(amount);
      const row = await store.budgets.raise({ tenantId, id, key, amountMicros, now: clock.now() });
      await tell(row, 'budget.changed', { raised_by_micros: amountMicros });
      await answerWaiting(deps, row);
      return show(row);
    },
    async remove(tenantId, id) {
      const row = await requireBudget(tenantId, id);
      await store.budgets.remove({ tenantId, id });
      await onChanged();
      await tell(row, 'budget.removed', {});
      // Nothing holds them any more.
      await answerWaiting(deps, row);
    },
  };
}

async function subjectOf(store: Store, tenantId: string, scope: BudgetScope, given: string | undefined): Promise<string> {
  const wrong = (message: string) =>
    new PlatformError('request_invalid', { detail: message, fields: [{ pointer: '/subject_id', message }] });
  if (scope === 'schedule')
    throw new PlatformError('capability_unsupported', {
      detail: 'Schedules have no budgets of their own yet.',
      fields: [{ pointer: '/scope', message: 'not supported' }],
    });
  if (scope === 'tenant') {
    if (given !== undefined && given !== tenantId) throw wrong('The budget of a tenant is its own: leave subject_id out.');
    return tenantId;
  }
  if (given === undefined) throw wrong(`A budget of the scope ${scope} needs the id of its ${scope}.`);
  if (scope === 'agent') return (await requireAgent(store.agents, tenantId, given)).id;
  const session = await store.sessions.find({ tenantId, id: given });
  if (session === undefined) throw new PlatformError('session_not_found', { detail: `There is no session "${given.slice(0, 80)}".` });
  return session.id;
}

/** Whoever waits for the budget looks at it again; what still does not fit is asked about anew. */
async function answerWaiting({ store, approvals }: BudgetsDeps, { tenantId, id: budgetId }: BudgetRow): Promise<void> {
  const page = await store.approvals.list({ tenantId, states: ['pending'], limit: MAX_ANSWERED, order: 'asc' });
  for (const { id, kind, input } of page.data) {
    if (kind !== 'budget' || input.budget_id !== budgetId) continue;
    try {
      await approvals.answer({ tenantId, id, actor: actingNow(), decision: 'allow', raiseMicros: 0 });
    } catch (error) {
      // Somebody else was quicker.
      if (!isPlatformError(error, 'approval_answered') && !isPlatformError(error, 'approval_not_found')) throw error;
    }
  }
}

function toMicros(amount: number): number {
  return Math.round(amount * MICROS);
}

function toBudget(row: BudgetRow, currency: string, now: number): Budget {
  const { limitMicros, raisedMicros, spentMicros, reservedMicros, period } = row;
  return {
    id: row.id,
    type: 'budget',
    scope: row.scope,
    subject_id: row.subjectId,
    period,
    currency,
    limit: limitMicros / MICROS,
    raised: raisedMicros / MICROS,
    spent: spentMicros / MICROS,
    reserved: reservedMicros / MICROS,
    remaining: Math.max(0, limitMicros + raisedMicros - spentMicros - reservedMicros) / MICROS,
    period_start: period === 'total' ? null : toTimestamp(row.periodStart),
    renews_at: period === 'total' ? null : toTimestamp(period === 'day' ? row.periodStart + DAY_MS : nextMonth(now)),
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
  };
}
