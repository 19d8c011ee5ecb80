import { invariant, PlatformError } from '../../base/errors.ts';
import type { AppendInput, FinishInput, RunToken, StoredEvent, TurnRow, TurnStore } from '../store.ts';
import type { Params, Row } from './connection.ts';
import { appendEvents } from './event-log.ts';
import { integer, parseTurn } from './rows.ts';
import { addActiveTime, addUsage, findOldestQueued, promoteNext, setSessionState, settleTurn, unparkTurn } from './turn-queue.ts';
import type { Transaction } from './writer.ts';

/** What a run holds: its own attempt, under a lease, not yet ended. Part of every statement by which a run writes. */
const HOLDS = `id = :turnId AND attempt = :attempt AND state IN ('running', 'waiting_approval') AND lease_owner IS NOT NULL`;
const HEARTBEAT = `UPDATE turns SET lease_until = :leaseUntil WHERE ${HOLDS} RETURNING cancel_requested`;
/** Apart from the one below, since naming the state rewrites the indexes it is in. */
const WRITE = `UPDATE turns SET prompted_at = CASE WHEN :isPrompted THEN :now ELSE prompted_at END WHERE ${HOLDS} RETURNING *`;
const WRITE_STATE = `UPDATE turns SET prompted_at = CASE WHEN :isPrompted THEN :now ELSE prompted_at END, state = coalesce(:state, state),
    lease_owner = CASE WHEN :isParked THEN NULL ELSE lease_owner END, lease_until = CASE WHEN :isParked THEN NULL ELSE lease_until END
  WHERE ${HOLDS} AND (NOT :isParked OR coalesce(:state, state) = 'waiting_approval') RETURNING *`;
const FINISH = `UPDATE turns SET state = :outcome, stop_reason = :stopReason, error = :error, ended_at = :now,
    lease_owner = NULL, lease_until = NULL WHERE ${HOLDS} RETURNING *`;
const REQUEUE = `UPDATE turns SET state = 'queued', is_ready = 1, lease_owner = NULL, lease_until = NULL, prompted_at = NULL, started_at = NULL
  WHERE ${HOLDS} RETURNING *`;
const SET_HARNESS_SESSION = 'UPDATE sessions SET harness_session_id = :harnessSessionId WHERE tenant_id = :tenantId AND id = :sessionId';
const STOP_WAITING = `UPDATE sessions SET state = 'idle', updated_at = :now
  WHERE tenant_id = :tenantId AND id = :sessionId AND state = 'waiting'`;
const INSERT_APPROVAL = `INSERT INTO approvals (tenant_id, session_id, id, turn_id, tool_name, input, state, created_at)
  VALUES (:tenantId, :sessionId, :id, :turnId, :toolName, :input, 'pending', :now)`;

export function heartbeat(tx: Transaction, input: RunToken & { readonly leaseUntil: number }): { cancelRequested: boolean } {
  const { turnId, attempt, leaseUntil } = input;
  const row = fenced(tx, HEARTBEAT, { turnId, attempt, leaseUntil });
  return { cancelRequested: integer(row, 'cancel_requested') === 1 };
}

export function append(tx: Transaction, input: AppendInput): readonly StoredEvent[] {
  const { now, isParked = false } = input;
  invariant(!isParked || input.state === 'waiting_approval', 'only a turn that waits for an approval is parked');
  const turn = writeTurn(tx, input);
  const { tenantId, sessionId } = turn;
  const stored = appendEvents(tx, turn, { events: input.events, turnId: turn.id, now });
  for (const { id, toolName, input: toolInput } of input.approvals ?? []) {
    tx.db.run(INSERT_APPROVAL, { tenantId, sessionId, id, turnId: turn.id, toolName, input: JSON.stringify(toolInput), now });
  }
  const { harnessSessionId } = input;
  if (harnessSessionId !== undefined) tx.db.run(SET_HARNESS_SESSION, { tenantId, sessionId, harnessSessionId });
  if (input.usage !== undefined) addUsage(tx.db, turn, input.usage);
  if (input.state !== undefined) setSessionState(tx.db, turn, input.state === 'running' ? 'running' : 'waiting', now);
  if (isParked) {
    addActiveTime(tx.db, turn, turn.startedAt, now);
    // The last decision may have come just before.
    unparkTurn(tx.db, turn.id);
  }
  return stored;
}

function writeTurn(tx: Transaction, input: AppendInput): TurnRow {
  const { turnId, attempt, now, state, isParked = false, isPrompted = false } = input;
  const params = { turnId, attempt, now, isPrompted: isPrompted ? 1 : 0 };
  if (state === undefined) return parseTurn(fenced(tx, WRITE, params));
  return parseTurn(fenced(tx, WRITE_STATE, { ...params, state, isParked: isParked ? 1 : 0 }));
}

export function finish(tx: Transaction, input: FinishInput): readonly StoredEvent[] {
  const { turnId, attempt, outcome, stopReason, now } = input;
  const error = input.error === null ? null : JSON.stringify(input.error);
  const turn = parseTurn(fenced(tx, FINISH, { turnId, attempt, outcome, stopReason, error, now }));
  settleTurn(tx.db, turn, turn.id, now);
  addActiveTime(tx.db, turn, turn.startedAt, now);
  if (input.usage !== undefined) addUsage(tx.db, turn, input.usage);
  const next = findOldestQueued(tx.db, turn);
  const events = next === undefined ? [...input.events, input.idle] : input.events;
  const stored = appendEvents(tx, turn, { events, turnId: turn.id, now });
  if (next === undefined) setSessionState(tx.db, turn, 'idle', now);
  else continueSession(tx, turn, now);
  return stored;
}

/** The session stays as it is for its next turn; only, nobody waits for an answer to this one any more. */
function continueSession(tx: Transaction, turn: TurnRow, now: number): void {
  tx.db.run(STOP_WAITING, { tenantId: turn.tenantId, sessionId: turn.sessionId, now });
  promoteNext(tx.db, turn);
}

export function requeue(tx: Transaction, input: Parameters<TurnStore['requeue']>[0]): void {
  const { turnId, attempt, now } = input;
  const turn = parseTurn(fenced(tx, REQUEUE, { turnId, attempt }));
  appendEvents(tx, turn, { events: [input.rescheduled], turnId: turn.id, now });
  setSessionState(tx.db, turn, 'rescheduling', now);
}

/** Runs a statement that names the token; no row means that the token holds no more, and so nothing was changed. */
function fenced(tx: Transaction, sql: string, params: Params): Row {
  const row = tx.db.get(sql, params);
  if (row === undefined) throw new PlatformError('lease_lost');
  return row;
}
