import { invariant, PlatformError } from '../../base/errors.ts';
import type { AppendInput, FinishInput, RunToken, StoredEvent, TurnRow, TurnStore } from '../store.ts';
import type { Transaction } from './engine.ts';
import { appendEvents } from './event-log.ts';
import { get, type Params, type Query, type Row, run } from './query.ts';
import { integer, parseTurn } from './rows.ts';
import { addActiveTime, addUsage, findOldestQueued, promoteNext, setSessionState, settleTurn, unparkTurn } from './turn-queue.ts';

/** What a run holds: its own attempt, under a lease, not yet ended. Part of every statement by which a run writes. */
const HOLDS = `id = :turnId AND attempt = :attempt AND state IN ('running', 'waiting_approval') AND lease_owner IS NOT NULL`;
const HEARTBEAT = `UPDATE turns SET lease_until = :leaseUntil WHERE ${HOLDS} RETURNING cancel_requested`;
/** Apart from the one below, since naming the state rewrites the indexes it is in. */
const WRITE = `UPDATE turns SET prompted_at = CASE WHEN :isPrompted = 1 THEN :now ELSE prompted_at END WHERE ${HOLDS} RETURNING *`;
const WRITE_STATE = `UPDATE turns SET prompted_at = CASE WHEN :isPrompted = 1 THEN :now ELSE prompted_at END, state = coalesce(:state, state),
    lease_owner = CASE WHEN :isParked = 1 THEN NULL ELSE lease_owner END, lease_until = CASE WHEN :isParked = 1 THEN NULL ELSE lease_until END
  WHERE ${HOLDS} AND (:isParked = 0 OR coalesce(:state, state) = 'waiting_approval') RETURNING *`;
const FINISH = `UPDATE turns SET state = :outcome, stop_reason = :stopReason, error = :error, ended_at = :now,
    lease_owner = NULL, lease_until = NULL WHERE ${HOLDS} RETURNING *`;
const REQUEUE = `UPDATE turns SET state = 'queued', is_ready = 1, lease_owner = NULL, lease_until = NULL, prompted_at = NULL, started_at = NULL
  WHERE ${HOLDS} RETURNING *`;
const SET_HARNESS_SESSION = 'UPDATE sessions SET harness_session_id = :harnessSessionId WHERE tenant_id = :tenantId AND id = :sessionId';
const STOP_WAITING = `UPDATE sessions SET state = 'idle', updated_at = :now
  WHERE tenant_id = :tenantId AND id = :sessionId AND state = 'waiting'`;
const INSERT_APPROVAL = `INSERT INTO approvals (tenant_id, session_id, id, turn_id, tool_name, input, state, created_at, position)
  VALUES (:tenantId, :sessionId, :id, :turnId, :toolName, :input, 'pending', :now,
    (SELECT coalesce(max(position), 0) + 1 FROM approvals WHERE turn_id = :turnId))`;

export function* heartbeat(input: RunToken & { readonly leaseUntil: number }): Query<{ cancelRequested: boolean }> {
  const { turnId, attempt, leaseUntil } = input;
  const row = yield* fenced(HEARTBEAT, { turnId, attempt, leaseUntil });
  return { cancelRequested: integer(row, 'cancel_requested') === 1 };
}

export function* append(tx: Transaction, input: AppendInput): Query<readonly StoredEvent[]> {
  const { now, isParked = false } = input;
  invariant(!isParked || input.state === 'waiting_approval', 'only a turn that waits for an approval is parked');
  const turn = yield* writeTurn(input);
  const { tenantId, sessionId } = turn;
  const stored = yield* appendEvents(tx, turn, { events: input.events, turnId: turn.id, now });
  for (const { id, toolName, input: toolInput } of input.approvals ?? []) {
    yield* run(INSERT_APPROVAL, { tenantId, sessionId, id, turnId: turn.id, toolName, input: JSON.stringify(toolInput), now });
  }
  const { harnessSessionId } = input;
  if (harnessSessionId !== undefined) yield* run(SET_HARNESS_SESSION, { tenantId, sessionId, harnessSessionId });
  if (input.usage !== undefined) yield* addUsage(turn, input.usage);
  if (input.state !== undefined) yield* setSessionState(turn, input.state === 'running' ? 'running' : 'waiting', now);
  if (isParked) {
    yield* addActiveTime(turn, turn.startedAt, now);
    // The last decision may have come just before.
    yield* unparkTurn(turn.id);
  }
  return stored;
}

function* writeTurn(input: AppendInput): Query<TurnRow> {
  const { turnId, attempt, now, state, isParked = false, isPrompted = false } = input;
  const params = { turnId, attempt, now, isPrompted: isPrompted ? 1 : 0 };
  if (state === undefined) return parseTurn(yield* fenced(WRITE, params));
  return parseTurn(yield* fenced(WRITE_STATE, { ...params, state, isParked: isParked ? 1 : 0 }));
}

export function* finish(tx: Transaction, input: FinishInput): Query<readonly StoredEvent[]> {
  const { turnId, attempt, outcome, stopReason, now } = input;
  const error = input.error === null ? null : JSON.stringify(input.error);
  const turn = parseTurn(yield* fenced(FINISH, { turnId, attempt, outcome, stopReason, error, now }));
  yield* settleTurn(turn, turn.id, now);
  yield* addActiveTime(turn, turn.startedAt, now);
  if (input.usage !== undefined) yield* addUsage(turn, input.usage);
  const next = yield* findOldestQueued(turn);
  const events = next === undefined ? [...input.events, input.idle] : input.events;
  const stored = yield* appendEvents(tx, turn, { events, turnId: turn.id, now });
  if (next === undefined) yield* setSessionState(turn, 'idle', now);
  else yield* continueSession(turn, now);
  return stored;
}

/** The session stays as it is for its next turn; only, nobody waits for an answer to this one any more. */
function* continueSession(turn: TurnRow, now: number): Query<void> {
  yield* run(STOP_WAITING, { tenantId: turn.tenantId, sessionId: turn.sessionId, now });
  yield* promoteNext(turn);
}

export function* requeue(tx: Transaction, input: Parameters<TurnStore['requeue']>[0]): Query<void> {
  const { turnId, attempt, now } = input;
  const turn = parseTurn(yield* fenced(REQUEUE, { turnId, attempt }));
  yield* appendEvents(tx, turn, { events: [input.rescheduled], turnId: turn.id, now });
  yield* setSessionState(turn, 'rescheduling', now);
}

/** Runs a statement that names the token; no row means that the token holds no more, and so nothing was changed. */
function* fenced(sql: string, params: Params): Query<Row> {
  const row = yield* get(sql, params);
  if (row === undefined) throw new PlatformError('lease_lost');
  return row;
}
