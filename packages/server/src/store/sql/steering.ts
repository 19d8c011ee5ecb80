import type { JsonObject, NewEvent, RunToken, StoredEvent, TurnOutcome, TurnRow } from '../store.ts';
import type { Transaction } from './engine.ts';
import { appendEvents, type SessionKey } from './event-log.ts';
import { fenced, HOLDS } from './fencing.ts';
import { lockSessionOfTurn } from './locks.ts';
import { all, allAs, type Query, run } from './query.ts';
import { parseEvent, parseTurn } from './rows.ts';
import { settleTurn } from './turn-queue.ts';

// A steered turn stays queued, so that nothing is lost with the run it was handed to; only, it waits for that run.

const STEERABLE = `SELECT e.* FROM turns q
  JOIN turns r ON r.tenant_id = q.tenant_id AND r.session_id = q.session_id
  JOIN events e ON e.tenant_id = q.tenant_id AND e.session_id = q.session_id AND e.id = q.event_id
  WHERE r.id = :turnId AND r.attempt = :attempt AND r.state = 'running' AND r.cancel_requested = 0
    AND q.state = 'queued' AND q.steered_into IS NULL AND q.is_ready = 0
  ORDER BY q.position`;
const HELD = `SELECT id FROM turns WHERE ${HOLDS}`;
const MARK = `UPDATE turns SET steered_into = :turnId WHERE tenant_id = :tenantId AND session_id = :sessionId AND event_id = :eventId`;
const FIND = `SELECT * FROM turns WHERE tenant_id = :tenantId AND session_id = :sessionId AND steered_into = :turnId AND state = 'queued'
  ORDER BY position`;
const END = `UPDATE turns SET state = :outcome, stop_reason = :stopReason, error = :error, ended_at = :now WHERE id = :turnId`;
const RELEASE = `UPDATE turns SET steered_into = NULL
  WHERE tenant_id = :tenantId AND session_id = :sessionId AND steered_into = :turnId AND state = 'queued'`;

export function* steer({ turnId, attempt }: RunToken): Query<readonly StoredEvent[]> {
  yield* lockSessionOfTurn(turnId);
  yield* fenced(HELD, { turnId, attempt });
  const messages = (yield* all(STEERABLE, { turnId, attempt })).map(parseEvent);
  for (const { tenantId, sessionId, id } of messages) yield* run(MARK, { turnId, tenantId, sessionId, eventId: id });
  return messages;
}

interface SharedEnd {
  readonly outcome: TurnOutcome;
  readonly stopReason: string | null;
  readonly error: JsonObject | null;
  readonly ended: (turn: TurnRow) => readonly NewEvent[];
  readonly now: number;
}

/** The turns whose messages `host` was given as well end as it does. */
export function* endSteered(tx: Transaction, host: TurnRow, end: SharedEnd): Query<void> {
  const { tenantId, sessionId } = host;
  const { outcome, stopReason, now } = end;
  const error = end.error === null ? null : JSON.stringify(end.error);
  for (const turn of yield* allAs(parseTurn, FIND, { tenantId, sessionId, turnId: host.id })) {
    yield* run(END, { turnId: turn.id, outcome, stopReason, error, now });
    yield* settleTurn(host, turn.id, now);
    yield* appendEvents(tx, host, { events: end.ended(turn), turnId: turn.id, now });
  }
}

/** They wait for turns of their own again. */
export function* releaseSteered({ tenantId, sessionId }: SessionKey, turnId: string): Query<void> {
  yield* run(RELEASE, { tenantId, sessionId, turnId });
}
