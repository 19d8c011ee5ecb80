import { asJsonObject } from '../base/json.ts';
import type { ApprovalRow, LeasedTurn, Store } from '../store/store.ts';
import type { TurnEnd } from './outcome.ts';

/**
 * The approvals that a turn which goes on still has to honour: those of the calls that waited when it last asked. Each
 * time an answer is passed on to the agent, what still waits is asked anew, and once nothing waits the turn runs; so a
 * call that is not in the last question has been let through already, and may have run.
 */
export async function openApprovals(store: Store, { turn, approvals }: LeasedTurn): Promise<readonly ApprovalRow[]> {
  if (!turn.isContinuation || approvals.length === 0) return approvals;
  const { tenantId, sessionId, id: turnId } = turn;
  const page = await store.events.list({ tenantId, sessionId, turnId, types: ['session.status_idle'], limit: 1, order: 'desc' });
  const { event_ids: asked } = asJsonObject(page.data[0]?.payload.stop_reason);
  return Array.isArray(asked) ? approvals.filter(({ id }) => asked.includes(id)) : [];
}

/** Somebody stopped it; or nobody raised the budget that it waited for without a sandbox, and so it is not to go on. */
export function endOfStop({ approvals }: Pick<LeasedTurn, 'approvals'>): Extract<TurnEnd, { type: 'finished' }> {
  const isUnraised = approvals.some(({ kind, state }) => kind === 'budget' && (state === 'denied' || state === 'expired'));
  if (!isUnraised) return { type: 'finished', outcome: 'cancelled', stopReason: 'cancelled', problem: null };
  const problem = { code: 'budget_reached', message: 'The turn waited for more budget, and it was not raised.' } as const;
  return { type: 'finished', outcome: 'failed', stopReason: null, problem };
}
