import { invariant } from '../../base/errors.ts';
import type { NewEvent, SessionKey, StoredEvent } from '../store.ts';
import { tellOfEvents } from './deliveries.ts';
import type { Transaction } from './engine.ts';
import { get, type Params, type Query, run, type Value } from './query.ts';
import { integer } from './rows.ts';

const TAKE_SEQS = `UPDATE sessions SET last_seq = last_seq + :count, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :sessionId RETURNING last_seq`;
/** Rows that go into one statement; far below the number of parameters that a database takes. */
const MAX_ROWS = 50;
const INSERTS = Array.from({ length: MAX_ROWS }, (_, index) => insertRows(index + 1));

function insertRows(count: number): string {
  const row = (at: number) =>
    `(:tenantId, :sessionId, :seq${at}, :id${at}, :turnId, :type${at}, :payload${at}, :createdAt, :processedAt${at})`;
  return `INSERT INTO events (tenant_id, session_id, seq, id, turn_id, type, payload, created_at, processed_at)
    VALUES ${Array.from({ length: count }, (_, index) => row(index)).join(', ')}`;
}

/**
 * Puts events at the end of a session's log, and the deliveries that tell of them in the outbox. The numbers
 * are taken in the same transaction, so there is never a gap.
 */
export function* appendEvents(
  tx: Transaction,
  session: SessionKey,
  input: {
    readonly events: readonly NewEvent[];
    readonly turnId: string | null;
    readonly now: number;
    /** Endpoints that are not told. */
    readonly isExcepted?: (webhookId: string) => boolean;
  },
): Query<readonly StoredEvent[]> {
  if (input.events.length === 0) return [];
  const { tenantId, sessionId } = session;
  const row = yield* get(TAKE_SEQS, { tenantId, sessionId, count: input.events.length, now: input.now });
  invariant(row !== undefined, 'events are appended to a session that exists');
  const first = integer(row, 'last_seq') - input.events.length + 1;
  const stored = input.events.map((event, index) =>
    toStored(event, { tenantId, sessionId, seq: first + index, turnId: input.turnId, createdAt: input.now }),
  );
  for (let at = 0; at < stored.length; at += MAX_ROWS)
    yield* insert(stored.slice(at, at + MAX_ROWS), { tenantId, sessionId, turnId: input.turnId, createdAt: input.now });
  yield* tellOfEvents(tx, stored, { ...session, isExcepted: input.isExcepted });
  tx.publish(stored);
  return stored;
}

function* insert(events: readonly StoredEvent[], common: Params): Query<void> {
  const params: Record<string, Value> = { ...common };
  for (const [at, { seq, id, type, payload, processedAt }] of events.entries())
    Object.assign(params, {
      [`seq${at}`]: seq,
      [`id${at}`]: id,
      [`type${at}`]: type,
      [`payload${at}`]: JSON.stringify(payload),
      [`processedAt${at}`]: processedAt,
    });
  const sql = INSERTS[events.length - 1];
  invariant(sql !== undefined, 'some events, and no more than go into one statement');
  yield* run(sql, params);
}

type Place = Pick<StoredEvent, 'tenantId' | 'sessionId' | 'seq' | 'turnId' | 'createdAt'>;

/** Names each field: what else the caller's object carries is no part of an event. */
export function toStored({ id, type, payload, processedAt }: NewEvent, place: Place): StoredEvent {
  return { id, type, payload, processedAt, ...place };
}
