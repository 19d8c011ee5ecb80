import { PlatformError } from '../../base/errors.ts';
import type { DutyStore, NodeRow, NodeStore, SessionKey } from '../store.ts';
import type { Engine } from './engine.ts';
import { lockSession } from './locks.ts';
import { allAs, get, type Query, type Row, run, type Sql } from './query.ts';
import { integer, optionalText, text } from './rows.ts';
import { HAS_OPEN_TURN } from './sessions.ts';

const BEAT: Sql = ({ now }) => `INSERT INTO nodes (id, host, joined_at, alive_until) VALUES (:id, :host, ${now}, ${now} + :leaseMs)
  ON CONFLICT (id) DO UPDATE SET alive_until = ${now} + :leaseMs`;
const FIND = 'SELECT 1 AS found FROM nodes WHERE id = :id';
const FORGET_OTHERS = 'DELETE FROM nodes WHERE id <> :id';
const FORGET_DEAD: Sql = ({ now }) => `DELETE FROM nodes WHERE alive_until <= ${now} - :keepMs`;
const RETRY_NOW = 'UPDATE turns SET retry_at = NULL WHERE retry_at IS NOT NULL';
const LEAVE = 'DELETE FROM nodes WHERE id = :id';
const END_LEASES: readonly Sql[] = [
  ({ now }) => `UPDATE turns SET lease_until = ${now} WHERE lease_owner = :id AND lease_until > ${now}`,
  ({ now }) => `UPDATE deliveries SET due_at = ${now} WHERE lease_owner = :id AND due_at > ${now}`,
  ({ now }) => `UPDATE model_calls SET lease_until = ${now} WHERE node_id = :id AND outcome IS NULL AND lease_until > ${now}`,
  () => 'DELETE FROM duties WHERE node_id = :id',
];
const LIST: Sql = ({ now }) => `SELECT * FROM nodes WHERE alive_until > ${now} ORDER BY joined_at, id`;
/** Gives the session to the node, where nothing stands against it. */
export const CLAIM_SESSION: Sql = ({ now }) => `UPDATE sessions SET node_id = :id, volume_id = coalesce(volume_id, :volumeId)
  WHERE tenant_id = :tenantId AND id = :sessionId AND archived_at IS NULL AND (volume_id IS NULL OR volume_id = :volumeId)
    AND (node_id IS NULL OR node_id = :id OR node_id NOT IN (SELECT id FROM nodes WHERE alive_until > ${now})) RETURNING id`;
const FIND_PLACE: Sql = ({ now }) => `SELECT s.node_id, s.volume_id, s.leaving_node,
  CASE WHEN s.node_id IN (SELECT id FROM nodes WHERE alive_until > ${now}) THEN 1 ELSE 0 END AS is_held,
  CASE WHEN s.leaving_node IN (SELECT id FROM nodes WHERE alive_until > ${now}) THEN 1 ELSE 0 END AS is_leaving
  FROM sessions s WHERE s.tenant_id = :tenantId AND s.id = :sessionId`;
const TAKE = `UPDATE sessions SET node_id = :id, volume_id = coalesce(volume_id, :volumeId), leaving_node = :leaving
  WHERE tenant_id = :tenantId AND id = :sessionId`;
const LET_GO: Sql = ({ listOf }) => `UPDATE sessions SET leaving_node = NULL WHERE leaving_node = :id AND id NOT IN ${listOf('except')}`;
const RELEASE = 'UPDATE sessions SET node_id = NULL WHERE tenant_id = :tenantId AND id = :sessionId AND node_id = :id';
const IS_HERE = 'SELECT 1 AS here FROM sessions WHERE tenant_id = :tenantId AND id = :sessionId AND (node_id IS NULL OR node_id = :id)';

/** Rows of the dead are kept for a look at what was. */
const KEEP_MS = 24 * 3600 * 1000;

export function createNodeStore(engine: Engine): NodeStore {
  return {
    beat: (input) => engine.write(() => beat(input)),
    async leave({ id }) {
      await engine.write(() => run(LEAVE, { id }));
    },
    bury: ({ id }) => engine.write(() => bury(id)),
    list: () => engine.read(() => allAs(parseNode, LIST)),
    strayed: (input) => engine.read(() => strayed(input)),
    takeOver: (input) => engine.write(() => takeOver(input)),
    hasLeft: (key) =>
      engine.read(function* () {
        const row = yield* get(FIND_PLACE, { ...key });
        return row === undefined || integer(row, 'is_leaving') === 0;
      }),
    async letGo({ id, except }) {
      await engine.write(() => run(LET_GO, { id, except: JSON.stringify(except) }));
    },
    claim: ({ id, volumeId, tenantId, sessionId }) =>
      engine.write(function* () {
        return (yield* get(CLAIM_SESSION, { id, volumeId, tenantId, sessionId })) !== undefined;
      }),
    async release({ id, tenantId, sessionId }) {
      await engine.write(() => run(RELEASE, { id, tenantId, sessionId }));
    },
  };
}

function* takeOver(input: Parameters<NodeStore['takeOver']>[0]): Query<'ours' | 'leaving' | 'busy' | 'elsewhere'> {
  const { id, volumeId, tenantId, sessionId } = input;
  yield* lockSession({ tenantId, sessionId });
  const row = yield* get(FIND_PLACE, { tenantId, sessionId });
  if (row === undefined) throw new PlatformError('session_not_found');
  if ((yield* get(HAS_OPEN_TURN, { tenantId, id: sessionId })) !== undefined) return 'busy';
  const [volume, node, left] = [optionalText(row, 'volume_id'), optionalText(row, 'node_id'), optionalText(row, 'leaving_node')];
  if (volume !== null && volume !== volumeId) return 'elsewhere';
  const holder = node !== id && integer(row, 'is_held') === 1 ? node : null;
  // What another is still about to leave, it has to leave all the same.
  const leaving = holder ?? (left !== id && integer(row, 'is_leaving') === 1 ? left : null);
  yield* run(TAKE, { id, volumeId, tenantId, sessionId, leaving });
  return leaving === null ? 'ours' : 'leaving';
}

function* beat({ id, host, leaseMs, isSoleNode }: Parameters<NodeStore['beat']>[0]): Query<void> {
  if (isSoleNode && (yield* get(FIND, { id })) === undefined) {
    yield* run(FORGET_OTHERS, { id });
    yield* run(RETRY_NOW);
  }
  yield* run(BEAT, { id, host, leaseMs });
  yield* run(FORGET_DEAD, { keepMs: KEEP_MS });
}

function* bury(id: string): Query<void> {
  yield* run(LEAVE, { id });
  for (const sql of END_LEASES) yield* run(sql, { id });
}

function* strayed({ id, sessions }: Parameters<NodeStore['strayed']>[0]): Query<readonly SessionKey[]> {
  const found: SessionKey[] = [];
  for (const session of sessions) {
    const here = yield* get(IS_HERE, { id, ...session });
    if (here === undefined) found.push(session);
  }
  return found;
}

function parseNode(row: Row): NodeRow {
  return { id: text(row, 'id'), host: text(row, 'host'), joinedAt: integer(row, 'joined_at'), aliveUntil: integer(row, 'alive_until') };
}

const HOLD: Sql = ({ now }) => `INSERT INTO duties (name, node_id, lease_until) VALUES (:name, :nodeId, ${now} + :leaseMs)
  ON CONFLICT (name) DO UPDATE SET node_id = :nodeId, lease_until = ${now} + :leaseMs
  WHERE duties.node_id = :nodeId OR duties.lease_until <= ${now} RETURNING name`;
const GIVE_UP = 'DELETE FROM duties WHERE name = :name AND node_id = :nodeId';

export function createDutyStore(engine: Engine): DutyStore {
  return {
    hold: ({ name, nodeId, leaseMs }) =>
      engine.write(function* () {
        return (yield* get(HOLD, { name, nodeId, leaseMs })) !== undefined;
      }),
    async release({ name, nodeId }) {
      await engine.write(() => run(GIVE_UP, { name, nodeId }));
    },
  };
}
