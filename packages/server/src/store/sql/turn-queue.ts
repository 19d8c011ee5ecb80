import type { ApprovalRow, SessionKey, SessionState, TurnRow, Usage } from '../store.ts';
import { all, get, type Query, run } from './query.ts';
import { parseApproval, parseTurn } from './rows.ts';

// Steps that several of the turn statements are made of. All run inside the caller's transaction.

const OLDEST_QUEUED = `SELECT * FROM turns WHERE tenant_id = :tenantId AND session_id = :sessionId AND state = 'queued' AND steered_into IS NULL ORDER BY position LIMIT 1`;
const UNDER_WAY = `SELECT * FROM turns WHERE tenant_id = :tenantId AND session_id = :sessionId AND state IN ('running', 'waiting_approval')`;
const SET_STATE =
  'UPDATE sessions SET state = :state, updated_at = :now WHERE tenant_id = :tenantId AND id = :sessionId AND state <> :state';
const SET_PROCESSED = `UPDATE events SET processed_at = :now
  WHERE tenant_id = :tenantId AND session_id = :sessionId AND turn_id = :turnId AND processed_at IS NULL`;
const EXPIRE_APPROVALS = `UPDATE approvals SET state = 'expired', decided_at = :now WHERE turn_id = :turnId AND state = 'pending'`;
const APPROVALS_OF_TURN = 'SELECT * FROM approvals WHERE turn_id = :turnId ORDER BY position';
const ADD_USAGE = `UPDATE sessions SET input_tokens = input_tokens + :inputTokens, output_tokens = output_tokens + :outputTokens,
    cache_read_tokens = cache_read_tokens + :cacheReadTokens, cache_creation_tokens = cache_creation_tokens + :cacheCreationTokens
  WHERE tenant_id = :tenantId AND id = :sessionId`;
const ADD_ACTIVE = 'UPDATE sessions SET active_ms = active_ms + :activeMs WHERE tenant_id = :tenantId AND id = :sessionId';
/** A parked turn goes on when nothing is left to decide, and also when it shall stop: whoever runs it ends it. */
const UNPARK = `UPDATE turns SET state = 'queued', is_ready = 1, is_continuation = 1
  WHERE id = :turnId AND state = 'waiting_approval' AND lease_owner IS NULL
    AND (cancel_requested = 1 OR NOT EXISTS (SELECT 1 FROM approvals WHERE turn_id = :turnId AND state = 'pending'))`;

export function* findOldestQueued({ tenantId, sessionId }: SessionKey): Query<TurnRow | undefined> {
  const row = yield* get(OLDEST_QUEUED, { tenantId, sessionId });
  return row && parseTurn(row);
}

/** The one turn of the session that runs or waits, with or without a lease. */
export function* findUnderWay({ tenantId, sessionId }: SessionKey): Query<TurnRow | undefined> {
  const row = yield* get(UNDER_WAY, { tenantId, sessionId });
  return row && parseTurn(row);
}

export function* setSessionState({ tenantId, sessionId }: SessionKey, state: SessionState, now: number): Query<void> {
  yield* run(SET_STATE, { tenantId, sessionId, state, now });
}

/** What the end of a turn means for its events and for the questions it has asked. */
export function* settleTurn({ tenantId, sessionId }: SessionKey, turnId: string, now: number): Query<void> {
  yield* run(SET_PROCESSED, { tenantId, sessionId, turnId, now });
  yield* run(EXPIRE_APPROVALS, { turnId, now });
}

export function* unparkTurn(turnId: string): Query<void> {
  yield* run(UNPARK, { turnId });
}

export function* approvalsOfTurn(turnId: string): Query<readonly ApprovalRow[]> {
  return (yield* all(APPROVALS_OF_TURN, { turnId })).map(parseApproval);
}

export function* addUsage({ tenantId, sessionId }: SessionKey, usage: Usage): Query<void> {
  const { inputTokens, outputTokens, cacheReadTokens, cacheCreationTokens } = usage;
  yield* run(ADD_USAGE, { tenantId, sessionId, inputTokens, outputTokens, cacheReadTokens, cacheCreationTokens });
}

/** Adds the time from `since` to `until`; a clock that was set back adds nothing. */
export function* addActiveTime({ tenantId, sessionId }: SessionKey, since: number | null, until: number): Query<void> {
  if (since !== null && until > since) yield* run(ADD_ACTIVE, { tenantId, sessionId, activeMs: until - since });
}
