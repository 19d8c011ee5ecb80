import { type Service, type ServiceCreate, type ServiceEvent, toBytes } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { type JsonObject, toJsonObject } from '../base/json.ts';
import type { Sealer } from '../core/sealing.ts';
import type { ServiceSettings } from '../core/service-settings.ts';
import type { ContainerStats, LogLine, ServiceRef, ServiceRuntime } from '../runtime/services.ts';
import type { Page, PageInput, ServiceEventInput, ServiceEventRow, ServiceRow, ServiceStore } from '../store/store.ts';
import { connectAddress } from './health.ts';
import { createReport, type Report } from './report.ts';
import { readDefinition, type ServiceAgent, type ServiceDefinition, toStored, withSealedEnv } from './spec.ts';
import { createStatsHub } from './stats-hub.ts';

/** Use cases of services: what is wanted is written, and the host's keeper makes it so. */
export interface Services {
  create(tenantId: string, body: ServiceCreate, id?: string, of?: ServiceAgent): Promise<Service>;
  get(tenantId: string, id: string): Promise<Service>;
  list(tenantId: string, input: PageInput): Promise<Page<Service>>;
  start(tenantId: string, id: string): Promise<Service>;
  stop(tenantId: string, id: string): Promise<Service>;
  restart(tenantId: string, id: string): Promise<Service>;
  remove(tenantId: string, id: string): Promise<Service>;
  listEvents(tenantId: string, id: string, input: PageInput): Promise<Page<ServiceEvent>>;
  /** Throws `service_not_running` when it has no container, before anything is read. */
  logs(
    tenantId: string,
    id: string,
    input: { readonly tail: number; readonly follow: boolean; readonly signal: AbortSignal },
  ): Promise<AsyncIterable<LogLine>>;
  stats(tenantId: string, id: string, signal: AbortSignal): Promise<AsyncIterable<ContainerStats>>;
  readonly report: Report;
}

export interface ServicesDeps {
  readonly services: ServiceStore;
  readonly clock: Clock;
  readonly settings: ServiceSettings;
  readonly sealer: Sealer;
  readonly installation: string;
  readonly allowUnrestrictedNetwork: boolean;
  /** Undefined where the runtime has no services. */
  readonly engine: { readonly runtime: ServiceRuntime; readonly hostId: string; readonly wake: () => void } | undefined;
}

const DEFAULTS = { port: 8080, memory: '512m', cpus: 0.5, pids: 256, uid: 1000 } as const;

export function createServices(deps: ServicesDeps): Services {
  const { services, clock, settings, engine } = deps;
  const hub = engine === undefined ? undefined : createStatsHub(engine.runtime);

  async function want(
    key: { readonly tenantId: string; readonly id: string },
    input: { desired: ServiceRow['desired']; isNewStart?: boolean; event: ServiceEventInput },
  ): Promise<Service> {
    await requireService(services, key.tenantId, key.id);
    const row = await services.want({ ...key, isNewStart: false, ...input, now: clock.now() });
    engine?.wake();
    return toService(row, settings);
  }

  return {
    async create(tenantId, body, id = newId('service'), of = {}) {
      if (engine === undefined) throw noServices();
      const definition = { ...toDefinition(body, deps.allowUnrestrictedNetwork), ...of };
      // Asked before anything is written, so that a name with a slip is no service that fails.
      if (!(await engine.runtime.hasImage(definition.image)))
        throw new PlatformError('image_missing', {
          detail: `The container engine has no image "${definition.image}". Pull or build it there first.`,
          fields: [{ pointer: '/image', message: 'an image that the container engine has' }],
        });
      const row = await services.create({
        tenantId,
        id,
        hostId: engine.hostId,
        name: body.name,
        spec: toStored(withSealedEnv(definition, { tenantId, id }, deps.sealer)),
        metadata: toJsonObject(body.metadata ?? {}),
        ports: settings.ports,
        max: settings.maxPerTenant,
        now: clock.now(),
      });
      engine.wake();
      return toService(row, settings);
    },
    get: async (tenantId, id) => toService(await requireService(services, tenantId, id), settings),
    list: async (tenantId, input) => mapPage(await services.list({ tenantId, ...input }), (row) => toService(row, settings)),
    start: (tenantId, id) => want({ tenantId, id }, { desired: 'running', event: { type: 'start_requested' } }),
    stop: (tenantId, id) => want({ tenantId, id }, { desired: 'stopped', event: { type: 'stop_requested' } }),
    restart: (tenantId, id) => want({ tenantId, id }, { desired: 'running', isNewStart: true, event: { type: 'restart_requested' } }),
    remove: (tenantId, id) => want({ tenantId, id }, { desired: 'deleted', event: { type: 'delete_requested' } }),
    async listEvents(tenantId, id, input) {
      await requireService(services, tenantId, id);
      return mapPage(await services.listEvents({ tenantId, id, ...input }), toEvent);
    },
    async logs(tenantId, id, input) {
      const ref = await findContainer(deps, await requireService(services, tenantId, id));
      return ref.runtime.logs(ref.ref, input);
    },
    async stats(tenantId, id, signal) {
      const { ref } = await findContainer(deps, await requireService(services, tenantId, id));
      if (hub === undefined) throw noServices();
      return hub.watch(ref, signal);
    },
    report: createReport(deps),
  };
}

async function findContainer(
  { engine, installation }: ServicesDeps,
  row: ServiceRow,
): Promise<{ readonly runtime: ServiceRuntime; readonly ref: ServiceRef }> {
  if (engine === undefined) throw noServices();
  if (row.hostId !== engine.hostId) throw new PlatformError('service_elsewhere');
  const seen = await engine.runtime.list({ installation });
  const own = seen.find(({ ref }) => ref.service === row.id && ref.incarnation === row.incarnation);
  if (own === undefined || own.state === 'missing') throw new PlatformError('service_not_running');
  return { runtime: engine.runtime, ref: own.ref };
}

function noServices(): PlatformError {
  const detail = 'The runtime of this server has no services: Docker and Podman have, and bubblewrap makes no networks.';
  return new PlatformError('capability_unsupported', { detail });
}

async function requireService(services: ServiceStore, tenantId: string, id: string): Promise<ServiceRow> {
  const row = await services.find({ tenantId, id });
  if (row === undefined) throw new PlatformError('service_not_found', { detail: `There is no service "${id.slice(0, 80)}".` });
  return row;
}

function toDefinition(body: ServiceCreate, allowUnrestrictedNetwork: boolean): ServiceDefinition {
  const networking = body.networking?.type ?? 'none';
  if (networking === 'unrestricted' && !allowUnrestrictedNetwork)
    throw new PlatformError('capability_unsupported', {
      detail:
        'Services without a limit on the network are not allowed here; the operator can allow them with CLOISTER_ALLOW_UNRESTRICTED_NETWORK.',
      fields: [{ pointer: '/networking', message: '`none` or `limited`' }],
    });
  const health = body.health ?? { type: 'http' };
  return {
    image: body.image,
    argv: body.command ?? null,
    env: body.env ?? {},
    port: body.port ?? DEFAULTS.port,
    health: health.type === 'http' ? { type: 'http', path: health.path ?? '/health' } : { type: 'process', path: null },
    memoryBytes: Math.round(toBytes(body.memory ?? DEFAULTS.memory)),
    cpus: body.cpus ?? DEFAULTS.cpus,
    pids: body.pids ?? DEFAULTS.pids,
    uid: body.uid ?? DEFAULTS.uid,
    networking,
    ...(body.networking?.type === 'limited' ? { allowedHosts: body.networking.allowed_hosts } : {}),
  };
}

function toService(row: ServiceRow, settings: ServiceSettings): Service {
  const { image, argv, env, port, health, memoryBytes, cpus, pids, uid, networking, allowedHosts } = readDefinition(row);
  const host = connectAddress(settings.bind);
  return {
    id: row.id,
    type: 'service',
    name: row.name,
    image,
    command: argv === null ? null : [...argv],
    env_names: Object.keys(env),
    port,
    health_check: health,
    memory_bytes: memoryBytes,
    cpus,
    pids,
    uid,
    networking: { type: networking, ...(allowedHosts === undefined ? {} : { allowed_hosts: [...allowedHosts] }) },
    metadata: textValues(row.metadata),
    desired_state: row.desired,
    state: row.state,
    reason: row.reason,
    health: row.health,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${row.port}`,
    restarts: row.restarts.length,
    next_start_at: timestampOrNull(row.nextStartAt),
    started_at: timestampOrNull(row.startedAt),
    checked_at: timestampOrNull(row.checkedAt),
    reported: toReported(row.reported),
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
  };
}

function toReported(reported: JsonObject | null): Service['reported'] {
  if (reported === null || typeof reported.at !== 'number') return null;
  const { status, progress, message, at } = reported;
  return {
    status: typeof status === 'string' ? status : null,
    progress: typeof progress === 'number' ? progress : null,
    message: typeof message === 'string' ? message : null,
    at: toTimestamp(at),
  };
}

function toEvent(row: ServiceEventRow): ServiceEvent {
  return {
    type: 'service_event',
    service_id: row.serviceId,
    seq: row.seq,
    event: row.type,
    detail: row.detail,
    created_at: toTimestamp(row.createdAt),
  };
}

function timestampOrNull(ms: number | null): string | null {
  return ms === null ? null : toTimestamp(ms);
}

function textValues(metadata: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
