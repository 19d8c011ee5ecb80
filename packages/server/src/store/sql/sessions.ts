import { PlatformError } from '../../base/errors.ts';
import type { SessionRow, SessionStore } from '../store.ts';
import { tellOf, tellOfEvents } from './deliveries.ts';
import type { Engine, Transaction } from './engine.ts';
import { appendEvents, toStored } from './event-log.ts';
import { copyLog } from './fork.ts';
import { filtersOf, listPage } from './listing.ts';
import { lockSession } from './locks.ts';
import { requireRoom } from './plans.ts';
import { all, type Dialect, get, type Query, run, type Sql, textOf } from './query.ts';
import { parseSession, text } from './rows.ts';

// In this order the definitions are looked up for the rows of the page only.
const SELECT: Sql = ({ orderedJoin }) => `SELECT s.*, d.agent, d.environment, d.resources
  FROM sessions s ${orderedJoin} session_definitions d ON d.tenant_id = s.tenant_id AND d.session_id = s.id`;
const FIND: Sql = (dialect) => `${textOf(SELECT, dialect)} WHERE s.tenant_id = :tenantId AND s.id = :id`;
const INSERT = `INSERT INTO sessions (tenant_id, id, agent_id, agent_version, environment_id, title, metadata, vault_ids, state,
    created_at, updated_at)
  VALUES (:tenantId, :id, :agentId, :agentVersion, :environmentId, :title, :metadata, :vaultIds, 'idle', :now, :now) ON CONFLICT DO NOTHING`;
const INSERT_DEFINITIONS = `INSERT INTO session_definitions (tenant_id, session_id, agent, environment, resources)
  VALUES (:tenantId, :id, :agent, :environment, :resources)`;
const CLAIM_VOLUME = `INSERT INTO agent_volumes (tenant_id, agent_id, volume_id) VALUES (:tenantId, :agentId, :volumeId)
  ON CONFLICT DO NOTHING`;
const PLACE = `UPDATE sessions SET volume_id =
  (SELECT volume_id FROM agent_volumes WHERE tenant_id = :tenantId AND agent_id = :agentId) WHERE tenant_id = :tenantId AND id = :id`;
const UPDATE = `UPDATE sessions SET title = :title, metadata = :metadata, updated_at = :now WHERE tenant_id = :tenantId AND id = :id`;
const UPDATE_VERSION = 'UPDATE sessions SET agent_version = :agentVersion WHERE tenant_id = :tenantId AND id = :id';
const UPDATE_AGENT = 'UPDATE session_definitions SET agent = :agent WHERE tenant_id = :tenantId AND session_id = :id';
const UPDATE_RESOURCES = 'UPDATE session_definitions SET resources = :resources WHERE tenant_id = :tenantId AND session_id = :id';
const ARCHIVE = 'UPDATE sessions SET archived_at = :now, updated_at = :now WHERE tenant_id = :tenantId AND id = :id';
const HAS_EVENT = 'SELECT 1 AS found FROM events WHERE tenant_id = :tenantId AND session_id = :id AND id = :eventId';
export const HAS_OPEN_TURN = `SELECT 1 FROM turns
  WHERE tenant_id = :tenantId AND session_id = :id AND state IN ('queued', 'running', 'waiting_approval') LIMIT 1`;
const HAS_RUN = `SELECT 1 FROM turns
  WHERE tenant_id = :tenantId AND session_id = :id AND state IN ('running', 'waiting_approval') AND lease_owner IS NOT NULL LIMIT 1`;
const EXISTING: Sql = (dialect) => `SELECT id FROM sessions WHERE id IN ${dialect.listOf('ids')}`;
/** Children first, as the foreign keys want it. */
const REMOVE = [
  ...[
    'idempotency_keys',
    'approvals',
    'turns',
    'events',
    'egress_audit',
    'egress_usage',
    'session_storage',
    'session_links',
    'adapter_sessions',
    'turn_callbacks',
    'session_definitions',
  ].map((table) => `DELETE FROM ${table} WHERE tenant_id = :tenantId AND session_id = :id`),
  `DELETE FROM budget_raises WHERE tenant_id = :tenantId AND budget_id IN
    (SELECT id FROM budgets WHERE tenant_id = :tenantId AND scope = 'session' AND subject_id = :id)`,
  `DELETE FROM budgets WHERE tenant_id = :tenantId AND scope = 'session' AND subject_id = :id`,
  'DELETE FROM sessions WHERE tenant_id = :tenantId AND id = :id',
];

type CreateInput = Parameters<SessionStore['create']>[0];
type ListInput = Parameters<SessionStore['list']>[0];
type UpdateInput = Parameters<SessionStore['update']>[0];

export function createSessionStore(engine: Engine): SessionStore {
  return {
    create: (input) => engine.write((tx) => create(tx, input)),
    fork: (input) => engine.write((tx) => fork(tx, input)),
    find: ({ tenantId, id }) => engine.read(() => findSession(tenantId, id)),
    list: (input) => engine.read(() => list(input)),
    update: (input) => engine.write((tx) => update(tx, input)),
    archive({ tenantId, id, now }) {
      return engine.write(function* (tx) {
        yield* lockSession({ tenantId, sessionId: id });
        const session = yield* requireSession(tenantId, id);
        if (session.archivedAt !== null) return session;
        if ((yield* get(HAS_OPEN_TURN, { tenantId, id })) !== undefined) throw new PlatformError('session_busy');
        yield* run(ARCHIVE, { tenantId, id, now });
        yield* tellOf(tx, { type: 'session.archived', data: { id, session_id: id } }, { tenantId, sessionId: id });
        return yield* requireSession(tenantId, id);
      });
    },
    remove({ tenantId, id, event, now }) {
      return engine.write(function* (tx) {
        yield* lockSession({ tenantId, sessionId: id });
        const session = yield* findSession(tenantId, id);
        if (session === undefined) return false;
        if ((yield* get(HAS_RUN, { tenantId, id })) !== undefined) throw new PlatformError('session_busy');
        for (const sql of REMOVE) yield* run(sql, { tenantId, id });
        const stored = toStored(event, { tenantId, sessionId: id, seq: session.lastSeq + 1, turnId: null, createdAt: now });
        yield* tellOfEvents(tx, [stored], { tenantId, sessionId: id });
        tx.publish([stored]);
        return true;
      });
    },
    existing({ ids }) {
      return engine.read(function* () {
        return new Set((yield* all(EXISTING, { ids: JSON.stringify(ids) })).map((row) => text(row, 'id')));
      });
    },
  };
}

export function* findSession(tenantId: string, id: string): Query<SessionRow | undefined> {
  const row = yield* get(FIND, { tenantId, id });
  return row && parseSession(row);
}

export function* requireSession(tenantId: string, id: string): Query<SessionRow> {
  const session = yield* findSession(tenantId, id);
  if (session === undefined) throw new PlatformError('session_not_found');
  return session;
}

function* create(
  tx: Transaction,
  { tenantId, id, agent, environment, metadata, sharedVolumeId, now, ...input }: CreateInput,
): Query<SessionRow> {
  const { agentId, agentVersion, environmentId, title } = input;
  const texts = { metadata: JSON.stringify(metadata), vaultIds: JSON.stringify(input.vaultIds ?? []) };
  const row = { tenantId, id, agentId, agentVersion, environmentId, title, ...texts, now };
  if ((yield* run(INSERT, row)) === 0) return yield* requireSession(tenantId, id);
  yield* requireRoom(tenantId, 'sessions');
  if (sharedVolumeId !== undefined) yield* placeShared({ tenantId, id, agentId, volumeId: sharedVolumeId });
  const definitions = {
    agent: JSON.stringify(agent),
    environment: JSON.stringify(environment),
    resources: JSON.stringify(input.resources ?? []),
  };
  yield* run(INSERT_DEFINITIONS, { tenantId, id, ...definitions });
  yield* tellOf(tx, { type: 'session.created', data: { id, session_id: id } }, { tenantId, sessionId: id });
  return yield* requireSession(tenantId, id);
}

/** The first of the agent's sessions decides where the workspace of all of them lies. */
function* placeShared({ tenantId, id, agentId, volumeId }: Record<'tenantId' | 'id' | 'agentId' | 'volumeId', string>): Query<void> {
  yield* run(CLAIM_VOLUME, { tenantId, agentId, volumeId });
  yield* run(PLACE, { tenantId, id, agentId });
}

function* fork(tx: Transaction, input: Parameters<SessionStore['fork']>[0]): Query<SessionRow> {
  const { tenantId, from, id, title, sharedVolumeId, now } = input;
  yield* lockSession({ tenantId, sessionId: from });
  const made = yield* findSession(tenantId, id);
  if (made !== undefined) return made;
  const source = yield* requireSession(tenantId, from);
  yield* create(tx, { ...source, id, title: title === undefined ? source.title : title, sharedVolumeId, now });
  yield* copyLog(tx, source, input);
  return yield* requireSession(tenantId, id);
}

function* list({ tenantId, includeArchived, agentId, agentVersion, states, ...input }: ListInput) {
  const params = {
    tenantId,
    ...(agentId !== undefined && { agentId }),
    ...(agentVersion !== undefined && { agentVersion }),
    ...(states !== undefined && { states: JSON.stringify(states) }),
  };
  const conditions = [
    's.tenant_id = :tenantId',
    includeArchived ? undefined : 's.archived_at IS NULL',
    agentId === undefined ? undefined : 's.agent_id = :agentId',
    agentVersion === undefined ? undefined : 's.agent_version = :agentVersion',
    states === undefined ? undefined : (dialect: Dialect) => `s.state IN ${dialect.listOf('states')}`,
  ];
  return yield* listPage(
    {
      scope: ['sessions', tenantId],
      select: SELECT,
      filters: filtersOf(params, conditions, { ...input, column: 's.created_at' }),
      keys: [
        { column: 's.created_at', as: 'created_at' },
        { column: 's.id', as: 'id' },
      ],
      parse: parseSession,
    },
    input,
  );
}

function* update(tx: Transaction, { tenantId, id, event, now, ...input }: UpdateInput): Query<SessionRow> {
  yield* lockSession({ tenantId, sessionId: id });
  const session = yield* requireSession(tenantId, id);
  if (event !== undefined && (yield* get(HAS_EVENT, { tenantId, id, eventId: event.id })) !== undefined) return session;
  if (session.archivedAt !== null) throw new PlatformError('session_archived');
  const title = input.title === undefined ? session.title : input.title;
  yield* run(UPDATE, { tenantId, id, title, metadata: JSON.stringify(input.metadata ?? session.metadata), now });
  if (input.agentVersion !== undefined) yield* run(UPDATE_VERSION, { tenantId, id, agentVersion: input.agentVersion });
  if (input.agent !== undefined) yield* run(UPDATE_AGENT, { tenantId, id, agent: JSON.stringify(input.agent) });
  if (input.resources !== undefined) yield* run(UPDATE_RESOURCES, { tenantId, id, resources: JSON.stringify(input.resources) });
  if (event !== undefined) yield* appendEvents(tx, { tenantId, sessionId: id }, { events: [event], turnId: null, now });
  return yield* requireSession(tenantId, id);
}
