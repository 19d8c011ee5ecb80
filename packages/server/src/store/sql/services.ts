import { invariant, PlatformError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import {
  type PortPool,
  SERVICE_DESIRED_STATES,
  SERVICE_HEALTH_NAMES,
  SERVICE_STATE_NAMES,
  type ServiceEventInput,
  type ServiceEventRow,
  type ServiceKey,
  type ServiceRow,
  type ServiceStore,
} from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { all, allAs, get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, json, oneOf, optionalInteger, optionalText, text } from './rows.ts';

const SELECT = `SELECT services.*, service_ports.port AS port FROM services
  JOIN service_ports ON service_ports.service_id = services.id`;
const FIND = `${SELECT} WHERE services.tenant_id = :tenantId AND services.id = :id`;
const FIND_BY_ID = `${SELECT} WHERE services.id = :id`;
const HOLD: Sql = ({ forUpdate }) => `${FIND} ${forUpdate('services')}`;
const ON_HOST = `${SELECT} WHERE services.host_id = :hostId ORDER BY services.created_at, services.id`;
/** Of several that come at once each counts the ones before it. Where one writer works alone nothing is asked. */
const LOCK_TENANT: Sql = ({ name }) =>
  name === 'postgres' ? "SELECT pg_advisory_xact_lock(hashtextextended('services of ' || CAST(:tenantId AS TEXT), 0))" : '';
const COUNT = 'SELECT count(*) AS number FROM services WHERE tenant_id = :tenantId';
const INSERT = `INSERT INTO services (tenant_id, id, host_id, name, spec, metadata, created_at, updated_at)
  VALUES (:tenantId, :id, :hostId, :name, :spec, :metadata, :now, :now)`;
const PORTS_TAKEN = 'SELECT port FROM service_ports WHERE host_id = :hostId AND port >= :first AND port <= :last';
const TAKE_PORT = `INSERT INTO service_ports (host_id, port, service_id) VALUES (:hostId, :port, :id)
  ON CONFLICT (host_id, port) DO NOTHING`;
const FREE_PORT = 'DELETE FROM service_ports WHERE service_id = :id';
const WANT = `UPDATE services SET desired = :desired, generation = :generation, restarts = :restarts, next_start_at = :nextStartAt,
    state = :state, reason = :reason, revision = revision + 1, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :id`;
const RECORD = `UPDATE services SET state = :state, health = :health, reason = :reason, started_generation = :startedGeneration,
    incarnation = :incarnation, restarts = :restarts, next_start_at = :nextStartAt, callback_hash = :callbackHash,
    started_at = :startedAt, checked_at = :checkedAt, revision = revision + 1, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :id`;
const TOUCH = 'UPDATE services SET revision = revision + 1, updated_at = :now WHERE tenant_id = :tenantId AND id = :id';
const REPORT = 'UPDATE services SET reported = :reported WHERE tenant_id = :tenantId AND id = :id';
const NEXT_EVENT = 'UPDATE services SET last_event = last_event + 1 WHERE tenant_id = :tenantId AND id = :id RETURNING last_event';
const ADD_EVENT = `INSERT INTO service_events (tenant_id, service_id, seq, type, detail, created_at)
  VALUES (:tenantId, :id, :seq, :type, :detail, :now)`;
const FORGET_EVENTS = 'DELETE FROM service_events WHERE tenant_id = :tenantId AND service_id = :id AND seq <= :until';
const PURGE = 'DELETE FROM services WHERE tenant_id = :tenantId AND id = :id';

/** So many of the newest events are kept of each. */
const KEEP_EVENTS = 1000;

export function createServiceStore(engine: Engine): ServiceStore {
  return {
    create: (input) => engine.write(() => create(input)),
    find: ({ tenantId, id }) => engine.read(() => getAs(parseService, FIND, { tenantId, id })),
    findById: ({ id }) => engine.read(() => getAs(parseService, FIND_BY_ID, { id })),
    listOnHost: ({ hostId }) => engine.read(() => allAs(parseService, ON_HOST, { hostId })),
    list: ({ tenantId, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['services', tenantId],
            select: SELECT,
            filters: filtersOf({ tenantId }, ['services.tenant_id = :tenantId']),
            keys: [
              { column: 'services.created_at', as: 'created_at' },
              { column: 'services.id', as: 'id' },
            ],
            parse: parseService,
          },
          input,
        ),
      ),
    want: (input) => engine.write(() => want(input)),
    record: (input) => engine.write(() => record(input)),
    movePort: (input) => engine.write(() => movePort(input)),
    async report({ tenantId, id, reported, now }) {
      await engine.write(() => run(REPORT, { tenantId, id, reported: JSON.stringify({ ...reported, at: now }) }));
    },
    async purge(key) {
      await engine.write(() => purge(key));
    },
    listEvents: ({ tenantId, id, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['service events', tenantId, id],
            select: 'SELECT * FROM service_events',
            filters: filtersOf({ tenantId, id }, ['tenant_id = :tenantId', 'service_id = :id']),
            keys: [{ column: 'seq', as: 'seq' }],
            parse: parseEvent,
          },
          input,
        ),
      ),
  };
}

function* create(input: Parameters<ServiceStore['create']>[0]): Query<ServiceRow> {
  const { tenantId, id, hostId, name, spec, metadata, ports, max, now } = input;
  const existing = yield* getAs(parseService, FIND, { tenantId, id });
  if (existing !== undefined) return existing;
  yield* run(LOCK_TENANT, { tenantId });
  const counted = yield* get(COUNT, { tenantId });
  if (counted !== undefined && integer(counted, 'number') >= max)
    throw new PlatformError('service_limit_reached', { detail: `There are ${max} services, and more are not allowed.` });
  yield* takePort({ id, hostId, ports, avoid: [] });
  yield* run(INSERT, { tenantId, id, hostId, name, now, spec: JSON.stringify(spec), metadata: JSON.stringify(metadata) });
  yield* addEvent({ tenantId, id }, { type: 'created' }, now);
  return yield* requireService({ tenantId, id });
}

/** The constraint decides, not the look before: of two that see the same port free one goes on to the next. */
function* takePort(input: { id: string; hostId: string; ports: PortPool; avoid: readonly number[] }): Query<number> {
  const { id, hostId, ports, avoid } = input;
  const { first, last } = ports;
  const taken = new Set((yield* all(PORTS_TAKEN, { hostId, first, last })).map((row) => integer(row, 'port')));
  for (let port = first; port <= last; port++) {
    if (taken.has(port) || avoid.includes(port)) continue;
    if ((yield* run(TAKE_PORT, { hostId, port, id })) > 0) return port;
  }
  throw new PlatformError('service_ports_exhausted', { detail: `All ports from ${first} to ${last} are taken.` });
}

function* movePort({ tenantId, id, ports, avoid, now }: Parameters<ServiceStore['movePort']>[0]): Query<ServiceRow> {
  const current = yield* holdService({ tenantId, id });
  yield* run(FREE_PORT, { id });
  const port = yield* takePort({ id, hostId: current.hostId, ports, avoid: [...avoid, current.port] });
  yield* run(TOUCH, { tenantId, id, now });
  yield* addEvent({ tenantId, id }, { type: 'port_changed', detail: `from ${current.port} to ${port}` }, now);
  return yield* requireService({ tenantId, id });
}

function* want(input: Parameters<ServiceStore['want']>[0]): Query<ServiceRow> {
  const { tenantId, id, desired, isNewStart, event, now } = input;
  const current = yield* holdService({ tenantId, id });
  if (current.desired === 'deleted') {
    if (desired === 'deleted') return current;
    throw new PlatformError('service_deleting');
  }
  // One that gave up, or was stopped, has to be asked anew; one that runs or will run has not.
  const startsAnew = desired === 'running' && (isNewStart || current.desired !== 'running' || current.state === 'failed');
  if (!startsAnew && current.desired === desired) return current;
  yield* run(WANT, {
    tenantId,
    id,
    desired,
    now,
    generation: current.generation + (startsAnew ? 1 : 0),
    restarts: startsAnew ? '[]' : JSON.stringify(current.restarts),
    nextStartAt: startsAnew ? null : current.nextStartAt,
    state: startsAnew && current.state === 'failed' ? 'pending' : current.state,
    reason: startsAnew ? null : current.reason,
  });
  yield* addEvent({ tenantId, id }, event, now);
  return yield* requireService({ tenantId, id });
}

function* record(input: Parameters<ServiceStore['record']>[0]): Query<ServiceRow | undefined> {
  const { tenantId, id, revision, changes, event, now } = input;
  const current = yield* getAs(parseService, HOLD, { tenantId, id });
  if (current === undefined || current.revision !== revision) return undefined;
  const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
  const next: ServiceRow = { ...current, ...given };
  yield* run(RECORD, {
    tenantId,
    id,
    now,
    state: next.state,
    health: next.health,
    reason: next.reason,
    startedGeneration: next.startedGeneration,
    incarnation: next.incarnation,
    restarts: JSON.stringify(next.restarts),
    nextStartAt: next.nextStartAt,
    callbackHash: next.callbackHash,
    startedAt: next.startedAt,
    checkedAt: next.checkedAt,
  });
  if (event !== undefined) yield* addEvent({ tenantId, id }, event, now);
  return yield* requireService({ tenantId, id });
}

function* purge({ tenantId, id }: ServiceKey): Query<void> {
  const current = yield* getAs(parseService, HOLD, { tenantId, id });
  if (current === undefined) return;
  invariant(current.desired === 'deleted', 'only what is to be deleted is purged');
  yield* run('DELETE FROM service_events WHERE tenant_id = :tenantId AND service_id = :id', { tenantId, id });
  yield* run(PURGE, { tenantId, id });
  yield* run(FREE_PORT, { id });
}

function* addEvent({ tenantId, id }: ServiceKey, { type, detail }: ServiceEventInput, now: number): Query<void> {
  const row = yield* get(NEXT_EVENT, { tenantId, id });
  invariant(row !== undefined, 'an event is of a service that exists');
  const seq = integer(row, 'last_event');
  yield* run(ADD_EVENT, { tenantId, id, seq, type, detail: detail ?? null, now });
  if (seq > KEEP_EVENTS) yield* run(FORGET_EVENTS, { tenantId, id, until: seq - KEEP_EVENTS });
}

function* holdService({ tenantId, id }: ServiceKey): Query<ServiceRow> {
  const service = yield* getAs(parseService, HOLD, { tenantId, id });
  if (service === undefined) throw new PlatformError('service_not_found');
  return service;
}

function* requireService({ tenantId, id }: ServiceKey): Query<ServiceRow> {
  const service = yield* getAs(parseService, FIND, { tenantId, id });
  invariant(service !== undefined, 'a service that was just written exists');
  return service;
}

function parseService(row: Row): ServiceRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    hostId: text(row, 'host_id'),
    name: text(row, 'name'),
    spec: json(row, 'spec'),
    metadata: json(row, 'metadata'),
    desired: oneOf(row, 'desired', SERVICE_DESIRED_STATES),
    state: oneOf(row, 'state', SERVICE_STATE_NAMES),
    health: oneOf(row, 'health', SERVICE_HEALTH_NAMES),
    reason: optionalText(row, 'reason'),
    generation: integer(row, 'generation'),
    startedGeneration: integer(row, 'started_generation'),
    incarnation: optionalText(row, 'incarnation'),
    port: integer(row, 'port'),
    restarts: numbers(row, 'restarts'),
    nextStartAt: optionalInteger(row, 'next_start_at'),
    callbackHash: optionalText(row, 'callback_hash'),
    reported: reportedOf(row),
    startedAt: optionalInteger(row, 'started_at'),
    checkedAt: optionalInteger(row, 'checked_at'),
    revision: integer(row, 'revision'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  };
}

function reportedOf(row: Row): JsonObject | null {
  return row.reported === null ? null : json(row, 'reported');
}

function numbers(row: Row, column: string): readonly number[] {
  const value: unknown = JSON.parse(text(row, column));
  invariant(Array.isArray(value) && value.every((one) => typeof one === 'number'), `the column ${column} is a list of numbers`);
  return value;
}

function parseEvent(row: Row): ServiceEventRow {
  return {
    serviceId: text(row, 'service_id'),
    seq: integer(row, 'seq'),
    type: text(row, 'type'),
    detail: optionalText(row, 'detail'),
    createdAt: integer(row, 'created_at'),
  };
}
