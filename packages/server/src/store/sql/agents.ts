import { invariant, PlatformError } from '../../base/errors.ts';
import type { AgentRow, AgentStore } from '../store.ts';

import { tellOf } from './deliveries.ts';
import type { Engine, Transaction } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { lockAgent } from './locks.ts';
import { requireRoom } from './plans.ts';
import { all, get, type Query, type Row, run, type Sql } from './query.ts';
import { parseAgent, text } from './rows.ts';

const SELECT_VERSION = `SELECT a.id, a.tenant_id, v.version, v.definition, a.created_at, v.created_at AS updated_at, a.archived_at
  FROM agents a JOIN agent_versions v ON v.tenant_id = a.tenant_id AND v.agent_id = a.id`;
const FIND_NEWEST = `${SELECT_VERSION} AND v.version = a.version WHERE a.tenant_id = :tenantId AND a.id = :id`;
const FIND_VERSION = `${SELECT_VERSION} AND v.version = :version WHERE a.tenant_id = :tenantId AND a.id = :id`;
const INSERT_AGENT = 'INSERT INTO agents (tenant_id, id, version, created_at) VALUES (:tenantId, :id, 1, :now) ON CONFLICT DO NOTHING';
const INSERT_VERSION = `INSERT INTO agent_versions (tenant_id, agent_id, version, definition, created_at)
  VALUES (:tenantId, :id, :version, :definition, :now)`;
const SET_VERSION = 'UPDATE agents SET version = :version WHERE tenant_id = :tenantId AND id = :id';
const IN_USE: Sql = ({ listOf }) => `SELECT a.id FROM agents a WHERE a.id IN ${listOf('ids')} AND (a.archived_at IS NULL
  OR EXISTS (SELECT 1 FROM sessions s WHERE s.tenant_id = a.tenant_id AND s.agent_id = a.id))`;
const ACTIVITY: Sql = ({
  listOf,
}) => `SELECT s.agent_id, sum(s.input_tokens + s.output_tokens) AS tokens, max(s.updated_at) AS last_active_at,
    sum((SELECT count(*) FROM turns t WHERE t.tenant_id = s.tenant_id AND t.session_id = s.id)) AS messages
  FROM sessions s WHERE s.tenant_id = :tenantId AND s.agent_id IN ${listOf('ids')} GROUP BY s.agent_id`;
const ARCHIVE = 'UPDATE agents SET archived_at = :now WHERE tenant_id = :tenantId AND id = :id AND archived_at IS NULL';

interface AgentKey {
  readonly tenantId: string;
  readonly id: string;
}

export function createAgentStore(engine: Engine): AgentStore {
  return {
    create: (input) => engine.write((tx) => create(tx, input)),
    find: ({ tenantId, id, version }) =>
      engine.read(function* () {
        const row = version === undefined ? yield* get(FIND_NEWEST, { tenantId, id }) : yield* get(FIND_VERSION, { tenantId, id, version });
        return row && parseAgent(row);
      }),
    activity: ({ tenantId, ids }) =>
      engine.read(function* () {
        const rows = yield* all(ACTIVITY, { tenantId, ids: JSON.stringify(ids) });
        // Databases sum whole numbers to types of their own.
        const number = (row: Row, name: string) => Number(row[name]);
        return new Map(
          rows.map((row) => [
            text(row, 'agent_id'),
            { messages: number(row, 'messages'), tokens: number(row, 'tokens'), lastActiveAt: number(row, 'last_active_at') },
          ]),
        );
      }),
    list: ({ tenantId, includeArchived, ...input }) =>
      engine.read(function* () {
        const conditions = ['a.tenant_id = :tenantId', 'v.version = a.version', includeArchived ? undefined : 'a.archived_at IS NULL'];
        return yield* listPage(
          {
            scope: ['agents', tenantId],
            select: SELECT_VERSION,
            filters: filtersOf({ tenantId }, conditions, { ...input, column: 'a.created_at' }),
            keys: [
              { column: 'a.created_at', as: 'created_at' },
              { column: 'a.id', as: 'id' },
            ],
            parse: parseAgent,
          },
          input,
        );
      }),
    listVersions: ({ tenantId, id, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['agent-versions', tenantId, id],
            select: SELECT_VERSION,
            filters: filtersOf({ tenantId, id }, ['a.tenant_id = :tenantId', 'a.id = :id']),
            keys: [{ column: 'v.version', as: 'version' }],
            parse: parseAgent,
          },
          input,
        ),
      ),
    addVersion: (input) => engine.write((tx) => addVersion(tx, input)),
    inUse: ({ ids }) =>
      engine.read(function* () {
        return new Set((yield* all(IN_USE, { ids: JSON.stringify(ids) })).map((row) => text(row, 'id')));
      }),
    archive: (input) => engine.write((tx) => archive(tx, input)),
  };
}

function* create(tx: Transaction, { definition, now, ...key }: Parameters<AgentStore['create']>[0]): Query<AgentRow> {
  const { tenantId, id } = key;
  if ((yield* run(INSERT_AGENT, { tenantId, id, now })) === 0) return yield* requireAgent(key);
  yield* requireRoom(tenantId, 'agents');
  yield* run(INSERT_VERSION, { tenantId, id, version: 1, definition: JSON.stringify(definition), now });
  yield* tellOf(tx, { type: 'agent.created', data: { id } }, { tenantId, sessionId: null });
  return yield* getNewest(key);
}

function* addVersion(tx: Transaction, input: Parameters<AgentStore['addVersion']>[0]): Query<AgentRow> {
  const { definition, expectedVersion, now, ...key } = input;
  yield* lockAgent(key);
  const newest = yield* requireAgent(key);
  if (newest.archivedAt !== null) throw new PlatformError('agent_archived');
  if (expectedVersion !== undefined && expectedVersion !== newest.version) {
    throw new PlatformError('agent_version_conflict', { detail: `The newest version is ${newest.version}, not ${expectedVersion}.` });
  }
  const { tenantId, id } = key;
  const version = newest.version + 1;
  yield* run(INSERT_VERSION, { tenantId, id, version, definition: JSON.stringify(definition), now });
  yield* run(SET_VERSION, { tenantId, id, version });
  yield* tellOf(tx, { type: 'agent.updated', data: { id, version } }, { tenantId, sessionId: null });
  return yield* getNewest(key);
}

function* archive(tx: Transaction, { now, ...key }: Parameters<AgentStore['archive']>[0]): Query<AgentRow> {
  const { tenantId, id } = key;
  yield* requireAgent(key);
  const changed = yield* run(ARCHIVE, { tenantId, id, now });
  if (changed > 0) yield* tellOf(tx, { type: 'agent.archived', data: { id } }, { tenantId, sessionId: null });
  return yield* getNewest(key);
}

function* requireAgent(key: AgentKey): Query<AgentRow> {
  const row = yield* get(FIND_NEWEST, { tenantId: key.tenantId, id: key.id });
  if (row === undefined) throw new PlatformError('agent_not_found');
  return parseAgent(row);
}

function* getNewest(key: AgentKey): Query<AgentRow> {
  const row = yield* get(FIND_NEWEST, { tenantId: key.tenantId, id: key.id });
  invariant(row !== undefined, 'an agent that was just written exists');
  return parseAgent(row);
}
