import { PlatformError } from '../../base/errors.ts';
import type { AcceptInput, AcceptResult, IdempotencyInput, SessionKey, StoredEvent } from '../store.ts';
import { all, get, type Query, run, type Sql } from './query.ts';
import { isReserved } from './requests.ts';
import { parseEvent, stringList, text } from './rows.ts';

const FIND: Sql = ({ now }) => `SELECT * FROM idempotency_keys WHERE tenant_id = :tenantId AND key = :key AND expires_at > ${now}`;
/** Keys run out by the store's own time: a host whose clock jumps must not forget what it has accepted. */
const REMEMBER: Sql = ({ now }) => `INSERT INTO idempotency_keys (tenant_id, key, request_hash, session_id, event_ids, turn_ids, expires_at)
  VALUES (:tenantId, :key, :requestHash, :sessionId, :eventIds, :turnIds, ${now} + :keepMs)
  ON CONFLICT (tenant_id, key) DO UPDATE SET request_hash = excluded.request_hash, session_id = excluded.session_id,
    event_ids = excluded.event_ids, turn_ids = excluded.turn_ids, expires_at = excluded.expires_at
  WHERE idempotency_keys.expires_at <= ${now}`;
/** A few with each new key: more than come in, so that they die out, and few enough not to be felt. */
const PURGE: Sql = ({ now, forUpdateSkipLocked }) => `DELETE FROM idempotency_keys WHERE (tenant_id, key) IN
  (SELECT tenant_id, key FROM idempotency_keys WHERE expires_at <= ${now} ORDER BY expires_at LIMIT 8 ${forUpdateSkipLocked('idempotency_keys')})`;
const EVENTS: Sql = ({ listOf, orderedJoin }) => `SELECT e.* FROM ${listOf('ids')} i ${orderedJoin} events e
  ON e.tenant_id = :tenantId AND e.session_id = :sessionId AND e.id = i.value ORDER BY e.seq`;

/** The answer to a request that was accepted before; throws `idempotency_mismatch` when it was another one. */
export function* findReplay({ tenantId, sessionId, idempotency }: AcceptInput): Query<AcceptResult | undefined> {
  if (idempotency === undefined) return undefined;
  const row = yield* get(FIND, { tenantId, key: idempotency.key });
  if (row === undefined) {
    if (yield* isReserved(tenantId, idempotency.key)) throw new PlatformError('idempotency_mismatch');
    return undefined;
  }
  if (text(row, 'request_hash') !== idempotency.requestHash || text(row, 'session_id') !== sessionId)
    throw new PlatformError('idempotency_mismatch');
  const events: readonly StoredEvent[] = (yield* all(EVENTS, { tenantId, sessionId, ids: text(row, 'event_ids') })).map(parseEvent);
  return { events, turnIds: stringList(row, 'turn_ids'), isReplay: true };
}

interface Answer extends IdempotencyInput {
  readonly eventIds: readonly string[];
  readonly turnIds: readonly string[];
}

export function* rememberKey({ tenantId, sessionId }: SessionKey, answer: Answer): Query<void> {
  const { key, requestHash, keepMs, eventIds, turnIds } = answer;
  yield* run(PURGE, {});
  const changes = yield* run(REMEMBER, {
    tenantId,
    sessionId,
    key,
    requestHash,
    keepMs,
    eventIds: JSON.stringify(eventIds),
    turnIds: JSON.stringify(turnIds),
  });
  // Another session has taken it in the same moment.
  if (changes === 0) throw new PlatformError('idempotency_mismatch');
}
