import type { JsonObject, NewEvent, RunToken, SessionKey, StoredEvent, TurnOutcome, TurnRow } from '../store.ts';
import type { Transaction } from './engine.ts';
import { appendEvents } from './event-log.ts';
import { fenced, HOLDS } from './fencing.ts';
import { lockSessionOfTurn } from './locks.ts';
import { allAs, getAs, type Query, run } from './query.ts';
import { integer, parseEvent, parseTurn } from './rows.ts';
import { settleTurn } from './turn-queue.ts';

// A steered turn stays queued, so that nothing is lost with the run it was handed to; only, it waits for that run.

const STEERABLE = `SELECT e.* FROM turns q
  JOIN turns r ON r.tenant_id = q.tenant_id AND r.session_id = q.session_id
  JOIN events e ON e.tenant_id = q.tenant_id AND e.session_id = q.session_id AND e.id = q.event_id
  WHERE r.id = :turnId AND r.attempt = :attempt AND r.state = 'running' AND r.cancel_requested = 0
    AND q.state = 'queued' AND q.steered_into IS NULL AND q.is_ready = 0
  ORDER BY q.position LIMIT 1`;
const HELD = `SELECT id FROM turns WHERE ${HOLDS}`;
const MARK = `UPDATE turns SET steered_into = :turnId WHERE tenant_id = :tenantId AND session_id = :sessionId AND event_id = :eventId`;
const UNMARK = `UPDATE turns SET steered_into = NULL WHERE steered_into = :turnId AND event_id = :eventId AND state = 'queued'`;
const FIND = `SELECT t.*, e.seq FROM turns t
  JOIN events e ON e.tenant_id = t.tenant_id AND e.session_id = t.session_id AND e.id = t.event_id
  WHERE t.tenant_id = :tenantId AND t.session_id = :sessionId AND t.steered_into = :turnId AND t.state = 'queued'
  ORDER BY t.position`;
const END = `UPDATE turns SET state = :outcome, stop_reason = :stopReason, error = :error, ended_at = :now WHERE id = :turnId`;
const RELEASE = `UPDATE turns SET steered_into = NULL
  WHERE tenant_id = :tenantId AND session_id = :sessionId AND steered_into = :turnId AND state = 'queued'`;

export function* steer({ turnId, attempt }: RunToken): Query<StoredEvent | undefined> {
  yield* lockSessionOfTurn(turnId);
  yield* fenced(HELD, { turnId, attempt });
  const message = yield* getAs(parseEvent, STEERABLE, { turnId, attempt });
  if (message !== undefined) {
    const { tenantId, sessionId, id: eventId } = message;
    yield* run(MARK, { turnId, tenantId, sessionId, eventId });
  }
  return message;
}

export function* unsteer({ turnId, attempt, eventId }: RunToken & { readonly eventId: string }): Query<void> {
  yield* lockSessionOfTurn(turnId);
  yield* fenced(HELD, { turnId, attempt });
  yield* run(UNMARK, { turnId, eventId });
}

interface SharedEnd {
  readonly outcome: TurnOutcome;
  readonly stopReason: string | null;
  readonly error: JsonObject | null;
  readonly ended: (turn: TurnRow, seq: number) => readonly NewEvent[] | undefined;
  readonly now: number;
}

/** The turns whose messages `host` was given as well end as it does, but for those that have no last events. */
export function* endSteered(tx: Transaction, host: TurnRow, end: SharedEnd): Query<void> {
  yield* endThese(tx, host, yield* findSteered(host), end);
}

export interface SteeredTurn {
  readonly turn: TurnRow;
  /** Of its message. */
  readonly seq: number;
}

export function* findSteered({ tenantId, sessionId, id: turnId }: TurnRow): Query<readonly SteeredTurn[]> {
  return yield* allAs((row) => ({ turn: parseTurn(row), seq: integer(row, 'seq') }), FIND, { tenantId, sessionId, turnId });
}

export function* endThese(tx: Transaction, host: TurnRow, steered: readonly SteeredTurn[], end: SharedEnd): Query<void> {
  if (steered.length === 0) return;
  const { outcome, stopReason, now } = end;
  const error = end.error === null ? null : JSON.stringify(end.error);
  for (const { turn, seq } of steered) {
    const events = end.ended(turn, seq);
    if (events === undefined) continue;
    yield* run(END, { turnId: turn.id, outcome, stopReason, error, now });
    yield* settleTurn(host, turn.id, now);
    yield* appendEvents(tx, host, { events, turnId: turn.id, now });
  }
  yield* releaseSteered(host, host.id);
}

/** They wait for turns of their own again. */
export function* releaseSteered({ tenantId, sessionId }: SessionKey, turnId: string): Query<void> {
  yield* run(RELEASE, { tenantId, sessionId, turnId });
}
