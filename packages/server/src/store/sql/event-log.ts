import { invariant } from '../../base/errors.ts';
import type { NewEvent, StoredEvent } from '../store.ts';
import { tellOfEvents } from './deliveries.ts';
import type { Transaction } from './engine.ts';
import { get, type Query, run } from './query.ts';
import { integer } from './rows.ts';

export interface SessionKey {
  readonly tenantId: string;
  readonly sessionId: string;
}

const TAKE_SEQS = `UPDATE sessions SET last_seq = last_seq + :count, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :sessionId RETURNING last_seq`;
const INSERT_EVENT = `INSERT INTO events (tenant_id, session_id, seq, id, turn_id, type, payload, created_at, processed_at)
  VALUES (:tenantId, :sessionId, :seq, :id, :turnId, :type, :payload, :createdAt, :processedAt)`;

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
  for (const { payload, ...columns } of stored) yield* run(INSERT_EVENT, { ...columns, payload: JSON.stringify(payload) });
  yield* tellOfEvents(tx, stored, { ...session, isExcepted: input.isExcepted });
  tx.publish(stored);
  return stored;
}

type Place = Pick<StoredEvent, 'tenantId' | 'sessionId' | 'seq' | 'turnId' | 'createdAt'>;

/** Names each field: what else the caller's object carries is no part of an event. */
export function toStored({ id, type, payload, processedAt }: NewEvent, place: Place): StoredEvent {
  return { id, type, payload, processedAt, ...place };
}
