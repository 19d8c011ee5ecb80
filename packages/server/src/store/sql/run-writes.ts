import { invariant } from '../../base/errors.ts';
import type { AppendInput, FinishInput, RunToken, StoredEvent, TurnRow, TurnStore } from '../store.ts';
import type { Transaction } from './engine.ts';
import { appendEvents } from './event-log.ts';
import { promoteNext } from './fair-order.ts';
import { fenced, HOLDS } from './fencing.ts';
import { lockSessionOfTurn } from './locks.ts';
import { type Query, run, type Sql } from './query.ts';
import { integer, parseTurn } from './rows.ts';
import { endThese, findSteered, releaseSteered, type SteeredTurn } from './steering.ts';
import { addActiveTime, addUsage, findOldestQueued, setSessionState, settleTurn, unparkTurn } from './turn-queue.ts';

const HEARTBEAT: Sql = ({ now }) => `UPDATE turns SET lease_until = ${now} + :leaseMs WHERE ${HOLDS} RETURNING cancel_requested`;
/** Apart from the one below, since naming the state rewrites the indexes it is in. */
const WRITE = `UPDATE turns SET prompted_at = CASE WHEN :isPrompted = 1 THEN :now ELSE prompted_at END WHERE ${HOLDS} RETURNING *`;
const WRITE_STATE = `UPDATE turns SET prompted_at = CASE WHEN :isPrompted = 1 THEN :now ELSE prompted_at END, state = coalesce(:state, state),
    lease_owner = CASE WHEN :isParked = 1 THEN NULL ELSE lease_owner END, lease_until = CASE WHEN :isParked = 1 THEN NULL ELSE lease_until END
  WHERE ${HOLDS} AND (:isParked = 0 OR coalesce(:state, state) = 'waiting_approval') RETURNING *`;
const FINISH = `UPDATE turns SET state = :outcome, stop_reason = :stopReason, error = :error, stages = :stages, ended_at = :now,
    lease_owner = NULL, lease_until = NULL WHERE ${HOLDS} RETURNING *`;
const REQUEUE: Sql = ({ now }) => `UPDATE turns SET state = 'queued', is_ready = 1, lease_owner = NULL, lease_until = NULL,
    prompted_at = NULL, started_at = NULL, retry_at = CASE WHEN :isRetry = 1 THEN ${now} + :retryInMs END, retries = retries + :isRetry
  WHERE ${HOLDS} RETURNING *`;
const SET_HARNESS_SESSION = 'UPDATE sessions SET harness_session_id = :harnessSessionId WHERE tenant_id = :tenantId AND id = :sessionId';
const STOP_WAITING = `UPDATE sessions SET state = 'idle', updated_at = :now
  WHERE tenant_id = :tenantId AND id = :sessionId AND state = 'waiting'`;
const INSERT_APPROVAL = `INSERT INTO approvals (tenant_id, session_id, id, turn_id, tool_name, input, input_hash, rule, state, created_at, expires_at, position)
  VALUES (:tenantId, :sessionId, :id, :turnId, :toolName, :input, :inputHash, :rule, 'pending', :now, :expiresAt,
    (SELECT coalesce(max(position), 0) + 1 FROM approvals WHERE turn_id = :turnId))`;

export function* heartbeat(input: RunToken & { readonly leaseMs: number }): Query<{ cancelRequested: boolean }> {
  const { turnId, attempt, leaseMs } = input;
  const row = yield* fenced(HEARTBEAT, { turnId, attempt, leaseMs });
  return { cancelRequested: integer(row, 'cancel_requested') === 1 };
}

export function* append(tx: Transaction, input: AppendInput): Query<readonly StoredEvent[]> {
  const { now, isParked = false } = input;
  invariant(!isParked || input.state === 'waiting_approval', 'only a turn that waits for an approval is parked');
  yield* lockSessionOfTurn(input.turnId);
  const turn = yield* writeTurn(input);
  const { tenantId, sessionId } = turn;
  const stored = yield* appendEvents(tx, turn, { events: input.events, turnId: turn.id, now });
  for (const { id, toolName, input: toolInput, inputHash = null, rule = null, expiresAt = null } of input.approvals ?? []) {
    const asked = { toolName, input: JSON.stringify(toolInput), inputHash, rule, expiresAt };
    yield* run(INSERT_APPROVAL, { tenantId, sessionId, id, turnId: turn.id, ...asked, now });
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
  const stages = input.stages === undefined ? null : JSON.stringify(input.stages);
  yield* lockSessionOfTurn(turnId);
  const turn = parseTurn(yield* fenced(FINISH, { turnId, attempt, outcome, stopReason, error, stages, now }));
  yield* settleTurn(turn, turn.id, now);
  yield* addActiveTime(turn, turn.startedAt, now);
  if (input.usage !== undefined) yield* addUsage(turn, input.usage);
  const steered = yield* findSteered(turn);
  if (steered.length > 0) return yield* finishWithSteered(tx, turn, steered, input);
  const isLast = (yield* findOldestQueued(turn)) === undefined;
  const events = isLast ? [...input.events, input.idle] : input.events;
  const stored = yield* appendEvents(tx, turn, { events, turnId: turn.id, now });
  if (isLast) yield* setSessionState(turn, 'idle', now);
  else yield* continueSession(tx, turn, now);
  return stored;
}

/** The ends of the steered turns come between the turn's own and what the session says last. */
function* finishWithSteered(
  tx: Transaction,
  turn: TurnRow,
  steered: readonly SteeredTurn[],
  { outcome, stopReason, error, events, idle, endedSteered: ended = () => undefined, now }: FinishInput,
): Query<readonly StoredEvent[]> {
  const stored = yield* appendEvents(tx, turn, { events, turnId: turn.id, now });
  yield* endThese(tx, turn, steered, { outcome, stopReason, error, ended, now });
  if ((yield* findOldestQueued(turn)) !== undefined) {
    yield* continueSession(tx, turn, now);
    return stored;
  }
  yield* setSessionState(turn, 'idle', now);
  return [...stored, ...(yield* appendEvents(tx, turn, { events: [idle], turnId: turn.id, now }))];
}

/** The session stays as it is for its next turn; only, nobody waits for an answer to this one any more. */
function* continueSession(tx: Transaction, turn: TurnRow, now: number): Query<void> {
  yield* run(STOP_WAITING, { tenantId: turn.tenantId, sessionId: turn.sessionId, now });
  yield* promoteNext(tx, turn, turn.id);
}

export function* requeue(tx: Transaction, input: Parameters<TurnStore['requeue']>[0]): Query<void> {
  const { turnId, attempt, retryInMs, now } = input;
  const isRetry = retryInMs === undefined ? 0 : 1;
  yield* lockSessionOfTurn(turnId);
  const turn = parseTurn(yield* fenced(REQUEUE, { turnId, attempt, isRetry, retryInMs: retryInMs ?? 0 }));
  // An agent that goes on has them in its memory, and works on them there.
  if (!turn.isContinuation) yield* releaseSteered(turn, turn.id);
  yield* appendEvents(tx, turn, { events: input.events, turnId: turn.id, now });
  yield* setSessionState(turn, 'rescheduling', now);
}
