import type { Page, TurnRow, TurnStore } from '../store.ts';
import { accept } from './accept.ts';

import type { Engine } from './engine.ts';
import { hasReady, lease, takeOver } from './lease.ts';
import { filtersOf, listPage } from './listing.ts';
import { all, allAs, type Dialect, get, getAs, type Query } from './query.ts';
import { integer, optionalInteger, parseApproval, parseTurn, text } from './rows.ts';
import { append, finish, heartbeat, requeue } from './run-writes.ts';
import { steer, unsteer } from './steering.ts';

const FIND = 'SELECT * FROM turns WHERE id = :id AND tenant_id = :tenantId';
const COUNTS = `SELECT state, count(*) AS number FROM turns WHERE state IN ('queued', 'running', 'waiting_approval') GROUP BY state`;
const OLDEST_QUEUED = `SELECT min(created_at) AS oldest FROM turns WHERE state = 'queued'`;
const OPEN_APPROVALS = `SELECT count(*) AS number FROM approvals WHERE state = 'pending'`;
const APPROVALS = `SELECT * FROM approvals
  WHERE tenant_id = :tenantId AND session_id = :sessionId AND (CAST(:state AS TEXT) IS NULL OR state = :state) ORDER BY created_at, turn_id, position`;

const FAILED_SINCE = `SELECT count(*) AS number FROM turns WHERE state = 'failed' AND ended_at >= :since`;
const QUEUED = `SELECT tenant_id, count(*) AS number FROM turns WHERE state = 'queued' GROUP BY tenant_id`;

export function createTurnStore(engine: Engine): TurnStore {
  return {
    accept: (input) => engine.write((tx) => accept(tx, input)),
    hasReady: (input) => engine.read(() => hasReady(input)),
    lease: (input) => engine.write((tx) => lease(tx, input)),
    heartbeat: (input) => engine.write(() => heartbeat(input)),
    append: (input) => engine.write((tx) => append(tx, input)),
    finish: (input) => engine.write((tx) => finish(tx, input)),
    requeue: (input) => engine.write((tx) => requeue(tx, input)),
    steer: (input) => engine.write(() => steer(input)),
    unsteer: (input) => engine.write(() => unsteer(input)),
    takeOver: (input) => engine.write(() => takeOver(input)),
    find: ({ tenantId, id }) => engine.read(() => getAs(parseTurn, FIND, { tenantId, id })),
    list: (input) => engine.read(() => list(input)),
    counts: () => engine.read(countOpen),
    waits: () => engine.read(findWaits),
    failedSince: ({ since }) =>
      engine.read(function* () {
        const row = yield* get(FAILED_SINCE, { since });
        return row === undefined ? 0 : integer(row, 'number');
      }),
    queuedByTenant: () => engine.read(countQueued),
    approvals: ({ tenantId, sessionId, state = null }) =>
      engine.read(() => allAs(parseApproval, APPROVALS, { tenantId, sessionId, state: state ?? null })),
  };
}

function* list({ tenantId, sessionId, states, ...input }: Parameters<TurnStore['list']>[0]): Query<Page<TurnRow>> {
  const params = {
    tenantId,
    ...(sessionId !== undefined && { sessionId }),
    ...(states !== undefined && { states: JSON.stringify(states) }),
  };
  const conditions = [
    'tenant_id = :tenantId',
    sessionId === undefined ? undefined : 'session_id = :sessionId',
    states === undefined ? undefined : (dialect: Dialect) => `state IN ${dialect.listOf('states')}`,
  ];
  const keys = [
    { column: 'created_at', as: 'created_at' },
    { column: 'id', as: 'id' },
  ];
  const scope = ['turns', tenantId, sessionId ?? ''];
  return yield* listPage({ scope, select: 'SELECT * FROM turns', filters: filtersOf(params, conditions), keys, parse: parseTurn }, input);
}

function* countQueued() {
  return new Map((yield* all(QUEUED)).map((row) => [text(row, 'tenant_id'), integer(row, 'number')]));
}

function* countOpen() {
  const counts = new Map((yield* all(COUNTS)).map((row) => [text(row, 'state'), integer(row, 'number')]));
  return { queued: counts.get('queued') ?? 0, running: counts.get('running') ?? 0, waitingApproval: counts.get('waiting_approval') ?? 0 };
}

function* findWaits(): Query<Awaited<ReturnType<TurnStore['waits']>>> {
  const queued = yield* get(OLDEST_QUEUED, {});
  const open = yield* get(OPEN_APPROVALS, {});
  return {
    oldestQueuedAt: queued === undefined ? undefined : (optionalInteger(queued, 'oldest') ?? undefined),
    openApprovals: open === undefined ? 0 : integer(open, 'number'),
  };
}
