import type { Approval } from '@cloister/api';
import { toTimestamp } from '../base/clock.ts';
import type { ApprovalOfAgent, ApprovalState } from '../store/store.ts';

const WIRE_STATES = {
  pending: 'pending',
  granted: 'allowed',
  denied: 'denied',
  expired: 'expired',
  cancelled: 'cancelled',
} as const satisfies Record<ApprovalState, Approval['state']>;

/** The states of the store by their names on the wire. */
export function toApprovalState(state: Approval['state']): ApprovalState {
  return state === 'allowed' ? 'granted' : state;
}

export function toApproval(row: ApprovalOfAgent): Approval {
  const { toolName: name, input, inputHash, rule } = row;
  return {
    id: row.id,
    type: 'approval',
    kind: row.kind,
    session_id: row.sessionId,
    agent_id: row.agentId,
    turn_id: row.turnId,
    state: WIRE_STATES[row.state],
    tool: row.kind === 'tool' ? { name, input: { ...input }, input_hash: inputHash, rule } : null,
    budget: row.kind === 'budget' ? { ...input } : null,
    created_at: toTimestamp(row.createdAt),
    expires_at: row.expiresAt === null ? null : toTimestamp(row.expiresAt),
    answer: toAnswer(row),
  };
}

function toAnswer({ state, decidedBy, decidedAt, scope, denyMessage, raiseMicros }: ApprovalOfAgent): Approval['answer'] {
  if (state === 'pending' || decidedAt === null) return null;
  return {
    by: decidedBy ?? 'system',
    at: toTimestamp(decidedAt),
    scope: scope ?? 'once',
    message: denyMessage,
    raise: raiseMicros === null ? null : raiseMicros / 1_000_000,
  };
}

const DEEDS = {
  granted: 'allowed it',
  denied: 'denied it',
  expired: 'let it expire',
  cancelled: 'cancelled it',
  pending: 'has it open',
} as const;

/** Who decided what, and when: for those who come too late. */
export function describeAnswer({ state, decidedBy, decidedAt }: ApprovalOfAgent): string {
  const when = decidedAt === null ? '' : ` at ${toTimestamp(decidedAt)}`;
  if (state === 'expired') return `Nobody answered in time, or its turn ended: it expired${when}.`;
  return `${decidedBy ?? 'Somebody'} ${DEEDS[state]}${when}.`;
}
