import type { Approval as WireApproval } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import type { Clock } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { type JsonObject, toJsonObject } from '../base/json.ts';
import type { AuditActor, AuditSink } from '../core/audit.ts';
import type { ApprovalOfAgent, ApprovalScope, ApprovalState, CommitNotice, Page, PageInput, Store } from '../store/store.ts';
import { newEvent, requiresAction, statusRunning } from '../turns/events.ts';
import type { AnswerSignal } from './signal.ts';
import { describeAnswer, toApproval } from './wire.ts';

export type { ApprovalOfAgent as Approval } from '../store/store.ts';

export interface AskInput {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly turnId: string;
  readonly kind: 'budget';
  /** What the answerer is shown, such as the budget's id, its limit and what was used. */
  readonly subject: JsonObject;
  /** Left out: after APPROVAL_TIMEOUT_SECONDS. */
  readonly expiresAt?: number | undefined;
}

export interface AnswerInput {
  readonly tenantId: string;
  readonly id: string;
  readonly actor: AuditActor;
  readonly decision: 'allow' | 'deny';
  readonly scope?: ApprovalScope | undefined;
  readonly message?: string | null | undefined;
  readonly raiseMicros?: number | null | undefined;
  /** An earlier try of the same request may have answered already. */
  readonly isRepeat?: boolean | undefined;
}

/** Questions that stay open over restarts until somebody answers or their time is over. */
export interface Approvals {
  /**
   * Opens a question about a turn that runs; `approval.requested` in the session's log tells of it. One about the same
   * subject and turn that is still open is returned instead. Throws `turn_not_found`, `turn_ended`.
   */
  ask(input: AskInput): Promise<ApprovalOfAgent>;
  /**
   * Resolves once the question is no longer open: `granted` with `raiseMicros`, `denied`, or `expired`, also when its turn
   * has ended. Rejects with the signal's reason, and with `approval_not_found` when the session is gone.
   */
  waiting(input: { readonly tenantId: string; readonly id: string; readonly signal: AbortSignal }): Promise<ApprovalOfAgent>;
  /** The first answer wins. Throws `approval_answered` with who and when, `approval_not_found`, `request_invalid`. */
  answer(input: AnswerInput): Promise<WireApproval>;
  get(tenantId: string, id: string): Promise<WireApproval>;
  list(
    tenantId: string,
    input: PageInput & {
      readonly sessionId?: string | undefined;
      readonly agentId?: string | undefined;
      readonly states?: readonly ApprovalState[] | undefined;
    },
  ): Promise<Page<WireApproval>>;
}

export interface ApprovalsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly audit: AuditSink;
  readonly timeoutMs: number;
  /** Whoever runs the session's turn is told that it waits for its budget, and of answers. */
  readonly signal: AnswerSignal;
}

/** How often a question of this server is looked at when no notice of its answer came. */
const LOOK_MS = 5000;

export function createApprovals(deps: ApprovalsDeps): Approvals {
  const { store, clock, audit } = deps;

  async function require(tenantId: string, id: string): Promise<ApprovalOfAgent> {
    const row = await store.approvals.find({ tenantId, id });
    if (row === undefined) throw new PlatformError('approval_not_found', { detail: `There is no approval "${id.slice(0, 80)}".` });
    return row;
  }

  return {
    async ask({ tenantId, sessionId, turnId, subject, expiresAt }) {
      const now = clock.now();
      const until = expiresAt ?? now + deps.timeoutMs;
      const asked = await store.approvals.ask({
        tenantId,
        sessionId,
        turnId,
        subject,
        expiresAt: until,
        event: newEvent('approval.requested', { kind: 'budget', subject }, now),
        waiting: (ids) => requiresAction(ids, now),
        now,
      });
      deps.signal.asked(sessionId);
      const detail = { kind: 'budget', session: sessionId, turn: turnId };
      await audit.record({ tenantId, actor: 'system', action: 'approval.asked', subject: asked.id, detail });
      return asked;
    },
    waiting: (input) => waitForAnswer(deps, input, () => require(input.tenantId, input.id)),
    async answer(input) {
      const row = await require(input.tenantId, input.id);
      if (row.state !== 'pending') {
        if (input.isRepeat === true && isSameAnswer(row, input)) return toApproval(row);
        throw answered(row);
      }
      refuseNonsense(row, input);
      await accept(deps, row, input);
      deps.signal.confirmed(row.sessionId);
      const { decision, scope = 'once' } = input;
      const detail = { kind: row.kind, tool: row.toolName, session: row.sessionId, decision, scope, input_hash: row.inputHash };
      await audit.record({ tenantId: row.tenantId, actor: input.actor, action: 'approval.answered', subject: row.id, detail });
      return toApproval(await require(input.tenantId, input.id));
    },
    get: async (tenantId, id) => toApproval(await require(tenantId, id)),
    list: async (tenantId, input) => mapPage(await store.approvals.list({ tenantId, ...input }), toApproval),
  };
}

function answered(row: ApprovalOfAgent): PlatformError {
  return new PlatformError('approval_answered', { detail: describeAnswer(row) });
}

function isSameAnswer({ state, decidedBy, scope }: ApprovalOfAgent, input: AnswerInput): boolean {
  return state === stateOf(input.decision) && decidedBy === input.actor && (scope ?? 'once') === (input.scope ?? 'once');
}

function stateOf(decision: AnswerInput['decision']): 'granted' | 'denied' {
  return decision === 'allow' ? 'granted' : 'denied';
}

function refuseNonsense({ kind }: ApprovalOfAgent, { decision, scope, message, raiseMicros }: AnswerInput): void {
  const wrong = (pointer: string, problem: string) =>
    new PlatformError('request_invalid', { detail: `The answer is not clear: ${problem}.`, fields: [{ pointer, message: problem }] });
  if (message != null && decision === 'allow') throw wrong('/message', 'a message goes only with `deny`');
  if (scope === 'session' && decision === 'deny') throw wrong('/scope', 'only what is allowed is for the session');
  if (scope === 'session' && kind === 'budget') throw wrong('/scope', 'a budget is raised once at a time');
  if (kind === 'budget' && decision === 'allow' && raiseMicros == null)
    throw wrong('/raise', 'a budget is allowed more by saying how much');
  if (raiseMicros != null && (kind !== 'budget' || decision !== 'allow')) throw wrong('/raise', 'only a budget is raised, by `allow`');
}

async function accept({ store, clock }: ApprovalsDeps, row: ApprovalOfAgent, input: AnswerInput): Promise<void> {
  const { tenantId, sessionId, id: approvalId, kind } = row;
  const { decision, scope = 'once', message = null, raiseMicros = null, actor } = input;
  const now = clock.now();
  const event =
    kind === 'tool'
      ? newEvent('user.tool_confirmation', toJsonObject(confirmationOf(approvalId, { decision, scope, message })), now)
      : newEvent('approval.answered', { approval_id: approvalId, decision, by: actor, raise: fromMicros(raiseMicros) }, now);
  const effect = {
    kind: 'confirmation',
    approvalId,
    decision: stateOf(decision),
    denyMessage: message,
    scope,
    raiseMicros,
    decidedBy: actor,
  } as const;
  const events = [{ ...event, effect: kind === 'tool' ? effect : { ...effect, running: statusRunning } }];
  try {
    await store.turns.accept({ tenantId, sessionId, events, maxQueuedPerSession: 0, now });
  } catch (error) {
    if (!isPlatformError(error, 'approval_not_pending')) throw error;
    throw answered((await store.approvals.find({ tenantId, id: approvalId })) ?? row);
  }
}

/** The published answer to a tool's question; the scope is an extension. */
export function confirmationOf(
  toolUseId: string,
  { decision, scope, message }: { readonly decision: 'allow' | 'deny'; readonly scope: ApprovalScope; readonly message: string | null },
): object {
  return {
    tool_use_id: toolUseId,
    result: decision,
    ...(message === null ? {} : { deny_message: message }),
    ...(scope === 'session' ? { scope } : {}),
  };
}

function fromMicros(micros: number | null): number | null {
  return micros === null ? null : micros / 1_000_000;
}

async function waitForAnswer(
  { store, clock }: ApprovalsDeps,
  { signal }: { readonly signal: AbortSignal },
  look: () => Promise<ApprovalOfAgent>,
): Promise<ApprovalOfAgent> {
  signal.throwIfAborted();
  const first = await look();
  if (first.state !== 'pending') return first;
  const { promise, resolve, reject } = Promise.withResolvers<ApprovalOfAgent>();
  const lookAgain = () =>
    look().then(
      (row) => row.state !== 'pending' && resolve(row),
      // A database that does not answer now may do so at the next look.
      (error: unknown) => isPlatformError(error, 'approval_not_found') && reject(error),
    );
  const unsubscribe = store.events.onCommit((notices) => {
    if (notices.some((notice) => concerns(notice, first))) void lookAgain();
  });
  const cancelLooks = clock.every(LOOK_MS, () => void lookAgain());
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  // What was answered between the first look and the subscription.
  void lookAgain();
  try {
    return await promise;
  } finally {
    unsubscribe();
    cancelLooks();
    signal.removeEventListener('abort', onAbort);
  }
}

const TELLING: ReadonlySet<string> = new Set([
  'approval.answered',
  'approval.expired',
  'user.tool_confirmation',
  'turn.ended',
  'session.deleted',
]);

function concerns({ sessionId, types }: CommitNotice, approval: ApprovalOfAgent): boolean {
  return sessionId === approval.sessionId && types.some((type) => TELLING.has(type));
}
