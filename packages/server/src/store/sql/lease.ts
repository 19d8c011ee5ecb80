import { invariant } from '../../base/errors.ts';
import type { LeasedTurn, LeasePlace, SessionRow, TurnRow, TurnStore } from '../store.ts';
import type { Transaction } from './engine.ts';
import { appendEvents } from './event-log.ts';
import { SANDBOX_CAP_OF } from './plans.ts';
import { type Dialect, get, getAs, type Query, run, type Sql } from './query.ts';
import { parseEvent, parseTurn } from './rows.ts';
import { requireSession } from './sessions.ts';
import { addActiveTime, approvalsOfTurn, setSessionState } from './turn-queue.ts';

/** More servers than so many do not lease in one tenant at the same moment. */
const NEAR_CAP = 32;
const running = (column: 'tenant_id' | 'agent_id'): string =>
  `(SELECT count(*) FROM turns WHERE state = 'running' AND ${column} = t.${column})`;
const FULL_TENANTS = `SELECT r.tenant_id FROM turns r WHERE r.state = 'running'
  GROUP BY r.tenant_id HAVING count(*) >= :perTenant OR count(*) >= ${SANDBOX_CAP_OF('r.tenant_id')}`;
const FULL_AGENTS = `SELECT agent_id FROM turns WHERE state = 'running'
  GROUP BY agent_id HAVING count(*) >= min(coalesce(agent_cap, :perAgent))`;
/**
 * The session's row is what is locked, as everywhere; a session that another node is busy with is passed by. The
 * full tenants and agents are found once per look, from the few turns that run.
 */
const READY = ({ now }: Dialect): string => `FROM turns t
  JOIN sessions s ON s.tenant_id = t.tenant_id AND s.id = t.session_id
  WHERE t.is_ready = 1 AND (t.retry_at IS NULL OR t.retry_at <= ${now})
    AND (s.volume_id IS NULL OR s.volume_id = :volumeId)
    AND (s.node_id IS NULL OR s.node_id = :nodeId OR s.node_id NOT IN (SELECT id FROM nodes WHERE alive_until > ${now}))
    AND t.tenant_id NOT IN (${FULL_TENANTS}) AND t.agent_id NOT IN (${FULL_AGENTS})
  ORDER BY t.rank, t.position LIMIT 1`;
const FIND_NEXT: Sql = (dialect) => `SELECT t.* ${READY(dialect)} ${dialect.forUpdateSkipLocked('s')}`;
const HAS_READY: Sql = (dialect) => `SELECT t.id ${READY(dialect)}`;
/**
 * Servers that lease at once do not see each other's. So close to a cap they go one after the other, and the lease
 * asks for room again; far from it nobody waits.
 */
const QUEUE_NEAR_CAP: Sql = ({ name }) =>
  name === 'postgres'
    ? `SELECT pg_advisory_xact_lock(hashtextextended('turns of ' || t.tenant_id, 0)) FROM turns t WHERE t.id = :id
        AND (${running('tenant_id')} + ${NEAR_CAP} >= least(:perTenant, ${SANDBOX_CAP_OF('t.tenant_id')}) OR ${running('agent_id')} + ${NEAR_CAP} >= coalesce(t.agent_cap, :perAgent))`
    : '';
const LEASE: Sql = ({ now }) => `UPDATE turns SET state = 'running', is_ready = 0, attempt = attempt + 1, lease_owner = :nodeId,
    lease_until = ${now} + :leaseMs, retry_at = NULL, prompted_at = NULL, started_at = :now
  WHERE id = :id AND is_ready = 1
    AND tenant_id NOT IN (${FULL_TENANTS}) AND agent_id NOT IN (${FULL_AGENTS}) RETURNING *`;
const FIND_DEAD: Sql = ({ now, listOf, forUpdateSkipLocked }) => `SELECT t.* FROM turns t
  JOIN sessions s ON s.tenant_id = t.tenant_id AND s.id = t.session_id
  WHERE t.lease_owner IS NOT NULL AND t.id NOT IN ${listOf('held')}
    AND (t.lease_until <= ${now} OR (:isSoleNode = 1 AND t.lease_owner <> :nodeId))
  ORDER BY t.position LIMIT 1 ${forUpdateSkipLocked('s')}`;
/** Asks for the lease's end again: a heartbeat holds no session, and may have come in between. */
const TAKE_OVER: Sql = ({ now }) => `UPDATE turns SET attempt = attempt + 1, lease_owner = :nodeId, lease_until = ${now} + :leaseMs,
    started_at = :now
  WHERE id = :id AND attempt = :attempt AND lease_owner IS NOT NULL AND (:isSoleNode = 1 OR lease_until <= ${now}) RETURNING *`;
const SET_NODE = `UPDATE sessions SET node_id = :nodeId, volume_id = coalesce(volume_id, :volumeId)
  WHERE tenant_id = :tenantId AND id = :sessionId AND (node_id IS NULL OR node_id <> :nodeId)`;
/** Whoever settles a dead node's turn has no sandbox for it, and perhaps not even its files. */
const FORGET_NODE = 'UPDATE sessions SET node_id = NULL WHERE tenant_id = :tenantId AND id = :sessionId';
const FIND_MESSAGE = 'SELECT * FROM events WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :eventId';

const NO_LIMIT = Number.MAX_SAFE_INTEGER;
/** How often another node may be quicker before this look gives up; the next wake looks again. */
const MAX_LOOKS = 10;

export function* hasReady({ nodeId, volumeId, caps = {} }: LeasePlace): Query<boolean> {
  const { perTenant = NO_LIMIT, perAgent = NO_LIMIT } = caps;
  return (yield* get(HAS_READY, { nodeId, volumeId, perTenant, perAgent })) !== undefined;
}

export function* lease(tx: Transaction, input: Parameters<TurnStore['lease']>[0]): Query<LeasedTurn | undefined> {
  const { nodeId, volumeId, leaseMs, caps = {}, now } = input;
  const { perTenant = NO_LIMIT, perAgent = NO_LIMIT } = caps;
  for (let look = 0; look < MAX_LOOKS; look++) {
    const next = yield* getAs(parseTurn, FIND_NEXT, { nodeId, volumeId, perTenant, perAgent });
    if (next === undefined) return undefined;
    yield* run(QUEUE_NEAR_CAP, { id: next.id, perTenant, perAgent });
    const turn = yield* getAs(parseTurn, LEASE, { id: next.id, nodeId, leaseMs, now, perTenant, perAgent });
    if (turn === undefined) continue;
    return yield* begin(tx, turn, input);
  }
  return undefined;
}

function* begin(tx: Transaction, turn: TurnRow, { nodeId, volumeId, running, now }: Parameters<TurnStore['lease']>[0]): Query<LeasedTurn> {
  const { tenantId, sessionId } = turn;
  const isHere = (yield* run(SET_NODE, { tenantId, sessionId, nodeId, volumeId })) === 0;
  const session = yield* requireSession(tenantId, sessionId);
  if (session.state === 'running') return yield* toLeased(turn, session, isHere);
  const [told] = yield* appendEvents(tx, turn, { events: [running], turnId: turn.id, now });
  invariant(told !== undefined, 'one event in, one event out');
  yield* setSessionState(turn, 'running', now);
  return yield* toLeased(turn, { ...session, state: 'running', lastSeq: told.seq, updatedAt: now }, isHere);
}

export function* takeOver(input: Parameters<TurnStore['takeOver']>[0]): Query<LeasedTurn | undefined> {
  const { nodeId, leaseMs, now } = input;
  const isSoleNode = input.isSoleNode ? 1 : 0;
  const dead = yield* getAs(parseTurn, FIND_DEAD, { nodeId, isSoleNode, held: JSON.stringify(input.held) });
  if (dead === undefined) return undefined;
  const { id, attempt, tenantId, sessionId } = dead;
  const turn = yield* getAs(parseTurn, TAKE_OVER, { nodeId, leaseMs, now, id, attempt, isSoleNode });
  if (turn === undefined) return undefined;
  yield* run(FORGET_NODE, { tenantId, sessionId });
  // How long the dead run worked is not known; after its lease it did not.
  yield* addActiveTime(dead, dead.startedAt, Math.min(now, dead.leaseUntil ?? now));
  return yield* toLeased(turn, yield* requireSession(tenantId, sessionId), false);
}

function* toLeased(turn: TurnRow, session: SessionRow, isHere: boolean): Query<LeasedTurn> {
  const { tenantId, sessionId, eventId } = turn;
  const message = yield* get(FIND_MESSAGE, { tenantId, sessionId, eventId });
  invariant(message !== undefined, 'a turn has the message that asked for it');
  return {
    turn,
    isHere,
    session,
    message: parseEvent(message),
    approvals: yield* approvalsOfTurn(turn.id),
  };
}
