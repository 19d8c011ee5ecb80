import { PlatformError } from '../../base/errors.ts';
import { type AdapterSessionRow, type AdapterSessionStore, SESSION_STATES } from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { allAs, get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, json, oneOf, text } from './rows.ts';

// The name of the column of messages is not that of any table's, so that it can be asked for by itself.
const SELECT = `SELECT a.*, s.state, s.updated_at AS last_active_at,
    (SELECT count(*) FROM turns t WHERE t.tenant_id = a.tenant_id AND t.session_id = a.session_id) AS message_count
  FROM adapter_sessions a JOIN sessions s ON s.tenant_id = a.tenant_id AND s.id = a.session_id AND s.archived_at IS NULL`;
const FIND = `${SELECT} WHERE a.tenant_id = :tenantId AND a.adapter = :adapter AND a.session_id = :sessionId`;
const IS_CLAIMED = 'SELECT 1 AS found FROM adapter_sessions WHERE tenant_id = :tenantId AND session_id = :sessionId';
/** Of several that come at once each counts the ones before it. Where one writer works alone nothing is asked. */
const LOCK_USER: Sql = ({ name }) =>
  name === 'postgres'
    ? `SELECT pg_advisory_xact_lock(hashtextextended('sessions of ' || CAST(:tenantId AS TEXT) || ' ' || CAST(:adapter AS TEXT) || ' ' || CAST(:userId AS TEXT), 0))`
    : '';
/** One whose session is still being made counts too. */
const COUNT = `SELECT count(*) AS number FROM adapter_sessions a
  LEFT JOIN sessions s ON s.tenant_id = a.tenant_id AND s.id = a.session_id
  WHERE a.tenant_id = :tenantId AND a.adapter = :adapter AND a.user_id = :userId
    AND ((s.id IS NULL AND a.created_at > :madeAfter) OR (s.archived_at IS NULL AND s.updated_at > :activeAfter))`;
const INSERT = `INSERT INTO adapter_sessions (tenant_id, session_id, adapter, user_id, data, created_at)
  VALUES (:tenantId, :sessionId, :adapter, :userId, :data, :now)`;
const UNCLAIM = 'DELETE FROM adapter_sessions WHERE tenant_id = :tenantId AND adapter = :adapter AND session_id = :sessionId';
const IDLE = `SELECT a.tenant_id, a.session_id FROM adapter_sessions a
  JOIN sessions s ON s.tenant_id = a.tenant_id AND s.id = a.session_id
  WHERE a.adapter = :adapter AND s.updated_at < :before AND s.state IN ('idle', 'terminated')
  ORDER BY a.tenant_id, a.session_id LIMIT :limit`;
const PURGE = `DELETE FROM adapter_sessions WHERE session_id IN (SELECT a.session_id FROM adapter_sessions a
  WHERE a.created_at < :before AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.tenant_id = a.tenant_id AND s.id = a.session_id)
  LIMIT :limit)`;

/** How long a session may take to be made. */
const MAKING_MS = 60_000;

export function createAdapterSessionStore(engine: Engine): AdapterSessionStore {
  return {
    claim: (input) => engine.write(() => claim(input)),
    async unclaim({ tenantId, adapter, sessionId }) {
      await engine.write(() => run(UNCLAIM, { tenantId, adapter, sessionId }));
    },
    find: ({ tenantId, adapter, sessionId }) => engine.read(() => getAs(parseAdapterSession, FIND, { tenantId, adapter, sessionId })),
    list: (input) => engine.read(() => list(input)),
    idle: ({ adapter, before, limit }) =>
      engine.read(() =>
        allAs((row) => ({ tenantId: text(row, 'tenant_id'), sessionId: text(row, 'session_id') }), IDLE, { adapter, before, limit }),
      ),
    purge: ({ before, limit }) => engine.write(() => run(PURGE, { before, limit })),
  };
}

function* claim(input: Parameters<AdapterSessionStore['claim']>[0]): Query<void> {
  const { tenantId, adapter, sessionId, userId, data, max, activeAfter = 0, now } = input;
  const user = { tenantId, adapter, userId };
  yield* run(LOCK_USER, user);
  if ((yield* get(IS_CLAIMED, { tenantId, sessionId })) !== undefined) return;
  if (max !== undefined) {
    const counted = yield* get(COUNT, { ...user, activeAfter, madeAfter: now - MAKING_MS });
    if (counted !== undefined && integer(counted, 'number') >= max)
      throw new PlatformError('user_session_limit_reached', { detail: `The user has ${max} sessions, and more are not allowed.` });
  }
  yield* run(INSERT, { ...user, sessionId, data: JSON.stringify(data), now });
}

function* list({ tenantId, adapter, userId, activeAfter, ...input }: Parameters<AdapterSessionStore['list']>[0]) {
  const params = { tenantId, adapter, ...(userId !== undefined && { userId }), ...(activeAfter !== undefined && { activeAfter }) };
  const conditions = [
    'a.tenant_id = :tenantId',
    'a.adapter = :adapter',
    userId === undefined ? undefined : 'a.user_id = :userId',
    activeAfter === undefined ? undefined : 's.updated_at > :activeAfter',
  ];
  return yield* listPage(
    {
      scope: ['adapter sessions', tenantId, adapter, userId ?? ''],
      select: SELECT,
      filters: filtersOf(params, conditions),
      keys: [
        { column: 'a.created_at', as: 'created_at' },
        { column: 'a.session_id', as: 'session_id' },
      ],
      parse: parseAdapterSession,
    },
    input,
  );
}

function parseAdapterSession(row: Row): AdapterSessionRow {
  return {
    tenantId: text(row, 'tenant_id'),
    sessionId: text(row, 'session_id'),
    adapter: text(row, 'adapter'),
    userId: text(row, 'user_id'),
    data: json(row, 'data'),
    state: oneOf(row, 'state', SESSION_STATES),
    messages: integer(row, 'message_count'),
    createdAt: integer(row, 'created_at'),
    lastActiveAt: integer(row, 'last_active_at'),
  };
}
