import { type AgingSession, type RetentionStore, SESSION_STATES } from '../store.ts';
import type { Engine } from './engine.ts';
import { lockSession } from './locks.ts';
import { all, allAs, get, type Query, type Row, run, type Sql } from './query.ts';
import { integer, oneOf, optionalInteger, text } from './rows.ts';

const OPEN = `('queued', 'running', 'waiting_approval')`;
const OF_SESSION = 'tenant_id = :tenantId AND session_id = :sessionId';

const SESSIONS = `SELECT s.tenant_id, s.id, s.state, s.updated_at,
    (SELECT e.created_at FROM events e WHERE e.tenant_id = s.tenant_id AND e.session_id = s.id ORDER BY e.seq LIMIT 1) AS oldest_event_at
  FROM sessions s WHERE s.id > :after ORDER BY s.id LIMIT :limit`;
const CONDEMN = `UPDATE sessions SET state = 'terminated', archived_at = coalesce(archived_at, :now)
  WHERE tenant_id = :tenantId AND id = :sessionId AND updated_at < :idleBefore
    AND NOT EXISTS (SELECT 1 FROM turns WHERE ${OF_SESSION} AND state IN ${OPEN})`;
const IS_CONDEMNED = `SELECT 1 AS found FROM sessions WHERE tenant_id = :tenantId AND id = :sessionId AND state = 'terminated'
  AND NOT EXISTS (SELECT 1 FROM turns WHERE ${OF_SESSION} AND state IN ${OPEN})`;
/** Children first, as the foreign keys want it. */
const STRIP = [
  ['idempotency_keys', 'key'],
  ['approvals', 'id'],
  ['turns', 'id'],
  ['events', 'seq'],
  ['egress_audit', 'id'],
].map(
  ([table, column]) => `DELETE FROM ${table} WHERE ${OF_SESSION}
    AND ${column} IN (SELECT ${column} FROM ${table} WHERE ${OF_SESSION} ORDER BY ${column} LIMIT :limit)`,
);
const OLDEST = `SELECT seq, created_at FROM events WHERE ${OF_SESSION} ORDER BY seq LIMIT :limit`;
const FIRST_OPEN = `SELECT min(e.seq) AS seq FROM turns t
  JOIN events e ON e.tenant_id = t.tenant_id AND e.session_id = t.session_id AND e.id = t.event_id
  WHERE t.tenant_id = :tenantId AND t.session_id = :sessionId AND t.state IN ${OPEN}`;
const CUT = `DELETE FROM events WHERE ${OF_SESSION} AND seq <= :last`;
const OLDEST_TURNS = `SELECT t.id, t.ended_at, CASE WHEN EXISTS (SELECT 1 FROM events e
    WHERE e.tenant_id = t.tenant_id AND e.session_id = t.session_id AND e.id = t.event_id) THEN 1 ELSE 0 END AS has_message
  FROM turns t WHERE t.tenant_id = :tenantId AND t.session_id = :sessionId ORDER BY t.created_at, t.id LIMIT :limit`;
const FORGET_APPROVALS: Sql = ({ listOf }) => `DELETE FROM approvals WHERE turn_id IN ${listOf('ids')}`;
const FORGET_TURNS: Sql = ({ listOf }) => `DELETE FROM turns WHERE id IN ${listOf('ids')}`;
const FORGET_KEYS: Sql = ({ now, forUpdateSkipLocked }) => `DELETE FROM idempotency_keys WHERE (tenant_id, key) IN
  (SELECT tenant_id, key FROM idempotency_keys WHERE expires_at <= ${now} ORDER BY expires_at LIMIT :limit
    ${forUpdateSkipLocked('idempotency_keys')})`;
const FORGET_REQUESTS: Sql = ({ now, forUpdateSkipLocked }) => `DELETE FROM requests WHERE (tenant_id, key) IN
  (SELECT tenant_id, key FROM requests WHERE expires_at <= ${now} ORDER BY expires_at LIMIT :limit ${forUpdateSkipLocked('requests')})`;
/** PostgreSQL sees to its files by itself. */
const FREE_PAGES =
  (limit: number): Sql =>
  ({ name }) =>
    name === 'sqlite' ? `PRAGMA incremental_vacuum(${limit})` : '';

export function createRetentionStore(engine: Engine): RetentionStore {
  return {
    sessions: ({ after, limit }) => engine.read(() => allAs(parseAging, SESSIONS, { after, limit })),
    condemn: ({ tenantId, sessionId, idleBefore, now }) =>
      engine.write(function* () {
        yield* lockSession({ tenantId, sessionId });
        return (yield* run(CONDEMN, { tenantId, sessionId, idleBefore, now })) > 0;
      }),
    strip: (input) => engine.write(() => strip(input)),
    cut: (input) => engine.write(() => cut(input)),
    forgetKeys: ({ limit }) =>
      engine.write(function* () {
        const accepted = yield* run(FORGET_KEYS, { limit });
        return accepted + (accepted < limit ? yield* run(FORGET_REQUESTS, { limit: limit - accepted }) : 0);
      }),
    freePages: ({ limit }) =>
      engine.write(function* () {
        // One row for each page: the statement frees them as its rows are read.
        return (yield* all(FREE_PAGES(Math.trunc(limit)))).length;
      }),
  };
}

function parseAging(row: Row): AgingSession {
  return {
    tenantId: text(row, 'tenant_id'),
    id: text(row, 'id'),
    state: oneOf(row, 'state', SESSION_STATES),
    updatedAt: integer(row, 'updated_at'),
    oldestEventAt: optionalInteger(row, 'oldest_event_at'),
  };
}

function* strip({ tenantId, sessionId, limit }: Parameters<RetentionStore['strip']>[0]): Query<number> {
  yield* lockSession({ tenantId, sessionId });
  if ((yield* get(IS_CONDEMNED, { tenantId, sessionId })) === undefined) return 0;
  let removed = 0;
  for (const sql of STRIP) {
    if (removed < limit) removed += yield* run(sql, { tenantId, sessionId, limit: limit - removed });
  }
  return removed;
}

function* cut({ tenantId, sessionId, before, limit }: Parameters<RetentionStore['cut']>[0]): Query<number> {
  const session = { tenantId, sessionId };
  yield* lockSession(session);
  const open = yield* get(FIRST_OPEN, session);
  const firstOpen = (open && optionalInteger(open, 'seq')) ?? Number.MAX_SAFE_INTEGER;
  let last = 0;
  for (const row of yield* all(OLDEST, { ...session, limit })) {
    const seq = integer(row, 'seq');
    // What is left has no gap, even after the clock was set back.
    if (integer(row, 'created_at') >= before || seq >= firstOpen) break;
    last = seq;
  }
  const events = last === 0 ? 0 : yield* run(CUT, { ...session, last });
  return events + (events < limit ? yield* forgetTurns({ ...session, before, limit: limit - events }) : 0);
}

function* forgetTurns({ tenantId, sessionId, before, limit }: Parameters<RetentionStore['cut']>[0]): Query<number> {
  const rows = yield* all(OLDEST_TURNS, { tenantId, sessionId, limit });
  const gone = rows.filter((row) => integer(row, 'has_message') === 0 && (optionalInteger(row, 'ended_at') ?? before) < before);
  if (gone.length === 0) return 0;
  const ids = JSON.stringify(gone.map((row) => text(row, 'id')));
  yield* run(FORGET_APPROVALS, { ids });
  return yield* run(FORGET_TURNS, { ids });
}
