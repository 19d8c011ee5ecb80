import { PlatformError } from '../../base/errors.ts';
import type { RequestBegin, RequestStore } from '../store.ts';
import type { Engine } from './engine.ts';
import { get, type Query, run, type Sql } from './query.ts';
import { integer, optionalInteger, text } from './rows.ts';

/** A few with each new key: more than come in, so that they die out, and few enough not to be felt. */
const PURGE: Sql = ({ now, forUpdateSkipLocked }) => `DELETE FROM requests WHERE (tenant_id, key) IN
  (SELECT tenant_id, key FROM requests WHERE expires_at <= ${now} ORDER BY expires_at LIMIT 8 ${forUpdateSkipLocked('requests')})`;
/** Events remember their keys with the messages; a key is one request's, whichever of the two tables has it. */
const FIND_ACCEPTED: Sql = ({ now }) =>
  `SELECT 1 AS found FROM idempotency_keys WHERE tenant_id = :tenantId AND key = :key AND expires_at > ${now}`;
const RESERVE: Sql = ({ now }) => `INSERT INTO requests (tenant_id, key, request_hash, resource_id, holder, lease_until, expires_at)
  VALUES (:tenantId, :key, :requestHash, :resourceId, :holder, ${now} + :leaseMs, ${now} + :keepMs)
  ON CONFLICT (tenant_id, key) DO NOTHING`;
const HOLD: Sql = ({ now, forUpdate }) => `SELECT request_hash, resource_id, status, body,
    CASE WHEN expires_at <= ${now} THEN 1 ELSE 0 END AS is_expired, CASE WHEN lease_until > ${now} THEN 1 ELSE 0 END AS is_leased
  FROM requests WHERE tenant_id = :tenantId AND key = :key ${forUpdate()}`;
const REPLACE: Sql = ({ now }) => `UPDATE requests SET request_hash = :requestHash, resource_id = :resourceId, holder = :holder,
    lease_until = ${now} + :leaseMs, status = NULL, body = NULL, expires_at = ${now} + :keepMs
  WHERE tenant_id = :tenantId AND key = :key`;
const TAKE_OVER: Sql = ({ now }) => `UPDATE requests SET holder = :holder, lease_until = ${now} + :leaseMs, expires_at = ${now} + :keepMs
  WHERE tenant_id = :tenantId AND key = :key`;
const COMPLETE = `UPDATE requests SET status = :status, body = :body, holder = NULL, lease_until = NULL
  WHERE tenant_id = :tenantId AND key = :key AND holder = :holder`;
const RELEASE = `UPDATE requests SET holder = NULL, lease_until = NULL
  WHERE tenant_id = :tenantId AND key = :key AND holder = :holder`;
const FORGET = 'DELETE FROM requests WHERE tenant_id = :tenantId AND key = :key AND holder = :holder';
const FIND_RESERVED: Sql = ({ now }) =>
  `SELECT 1 AS found FROM requests WHERE tenant_id = :tenantId AND key = :key AND expires_at > ${now}`;

export function createRequestStore(engine: Engine): RequestStore {
  return {
    begin: (input) => engine.write(() => begin(input)),
    complete: ({ tenantId, key, holder, status, body }) =>
      engine.write(function* () {
        return (yield* run(COMPLETE, { tenantId, key, holder, status, body })) > 0;
      }),
    async abandon({ tenantId, key, holder, keepsResource }) {
      await engine.write(() => run(keepsResource ? RELEASE : FORGET, { tenantId, key, holder }));
    },
  };
}

function* begin({ tenantId, key, ...input }: Parameters<RequestStore['begin']>[0]): Query<RequestBegin> {
  const { requestHash, resourceId, holder, leaseMs, keepMs } = input;
  yield* run(PURGE);
  if ((yield* get(FIND_ACCEPTED, { tenantId, key })) !== undefined) throw new PlatformError('idempotency_mismatch');
  const begun = { type: 'begun', resourceId, isRepeat: false } as const;
  if ((yield* run(RESERVE, { tenantId, key, requestHash, resourceId, holder, leaseMs, keepMs })) > 0) return begun;
  const row = yield* get(HOLD, { tenantId, key });
  // Given up in this very moment.
  if (row === undefined) return { type: 'running' };
  if (integer(row, 'is_expired') === 1) {
    yield* run(REPLACE, { tenantId, key, requestHash, resourceId, holder, leaseMs, keepMs });
    return begun;
  }
  if (text(row, 'request_hash') !== requestHash) throw new PlatformError('idempotency_mismatch');
  const status = optionalInteger(row, 'status');
  if (status !== null) return { type: 'answered', status, body: text(row, 'body') };
  if (integer(row, 'is_leased') === 1) return { type: 'running' };
  yield* run(TAKE_OVER, { tenantId, key, holder, leaseMs, keepMs });
  return { type: 'begun', resourceId: text(row, 'resource_id'), isRepeat: true };
}

/** Whether a request that is not `POST …/events` has the key. */
export function* isReserved(tenantId: string, key: string): Query<boolean> {
  return (yield* get(FIND_RESERVED, { tenantId, key })) !== undefined;
}
