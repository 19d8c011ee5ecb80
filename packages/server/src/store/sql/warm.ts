import type { WarmRow, WarmStore, WarmUse } from '../store.ts';
import type { Engine } from './engine.ts';
import { CLAIM_SESSION } from './nodes.ts';
import { allAs, get, type Row, run, type Sql } from './query.ts';
import { integer, json, oneOf, optionalText, text } from './rows.ts';

const ADD = `INSERT INTO warm_sandboxes (id, tenant_id, pool_key, node_id, state, created_at)
  VALUES (:id, :tenantId, :key, :nodeId, 'warming', :now)`;
const READY = "UPDATE warm_sandboxes SET state = 'ready' WHERE id = :id AND state = 'warming'";
/** The session's row is held by now, so nobody gives it a conversation meanwhile. */
const CLAIM = `UPDATE warm_sandboxes SET state = 'claimed', session_id = :sessionId
  WHERE id = :id AND tenant_id = :tenantId AND pool_key = :key AND node_id = :nodeId AND state = 'ready'
    AND NOT EXISTS (SELECT 1 FROM warm_sandboxes other WHERE other.session_id = :sessionId)
    AND EXISTS (SELECT 1 FROM sessions s WHERE s.tenant_id = :tenantId AND s.id = :sessionId AND s.harness_session_id IS NULL)
  RETURNING id`;
const REMOVE = 'DELETE FROM warm_sandboxes WHERE id = :id';
const LIST = 'SELECT * FROM warm_sandboxes ORDER BY created_at, id';
const SWEEP: Sql = ({ now }) => `DELETE FROM warm_sandboxes
  WHERE node_id <> :nodeId AND node_id NOT IN (SELECT id FROM nodes WHERE alive_until > ${now}) RETURNING *`;
const USE = `INSERT INTO warm_uses (tenant_id, environment_id, agent_id, used_at) VALUES (:tenantId, :environmentId, :agentId, :now)
  ON CONFLICT (tenant_id, environment_id) DO UPDATE SET agent_id = :agentId, used_at = :now`;
const USES = `SELECT u.tenant_id, u.environment_id, u.agent_id, e.definition FROM warm_uses u
  JOIN environments e ON e.tenant_id = u.tenant_id AND e.id = u.environment_id
  WHERE e.archived_at IS NULL ORDER BY u.used_at DESC, u.environment_id`;

const STATES = ['warming', 'ready', 'claimed'] as const;

export function createWarmStore(engine: Engine): WarmStore {
  return {
    async add(input) {
      await engine.write(() => run(ADD, { ...input }));
    },
    ready: ({ id }) =>
      engine.write(function* () {
        return (yield* run(READY, { id })) > 0;
      }),
    claim: ({ id, tenantId, key, nodeId, volumeId, sessionId }) =>
      engine.write(function* () {
        // Placed here without the sandbox it would be no worse off: it gets a cold one on this node.
        const placed = yield* get(CLAIM_SESSION, { id: nodeId, volumeId, tenantId, sessionId });
        if (placed === undefined) return false;
        return (yield* get(CLAIM, { id, tenantId, key, nodeId, sessionId })) !== undefined;
      }),
    async remove({ id }) {
      await engine.write(() => run(REMOVE, { id }));
    },
    list: () => engine.read(() => allAs(parseWarm, LIST)),
    sweep: ({ nodeId }) => engine.write(() => allAs(parseWarm, SWEEP, { nodeId })),
    async use(input) {
      await engine.write(() => run(USE, { ...input }));
    },
    uses: () => engine.read(() => allAs(parseUse, USES)),
  };
}

function parseWarm(row: Row): WarmRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    key: text(row, 'pool_key'),
    nodeId: text(row, 'node_id'),
    state: oneOf(row, 'state', STATES),
    sessionId: optionalText(row, 'session_id'),
    createdAt: integer(row, 'created_at'),
  };
}

function parseUse(row: Row): WarmUse {
  return {
    tenantId: text(row, 'tenant_id'),
    environmentId: text(row, 'environment_id'),
    environment: json(row, 'definition'),
    agentId: text(row, 'agent_id'),
  };
}
