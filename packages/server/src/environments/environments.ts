import {
  type Environment,
  type EnvironmentConfig,
  type EnvironmentConfigParam,
  type EnvironmentCreate,
  type EnvironmentDefinition,
  type EnvironmentUpdate,
  environmentDefinitionSchema,
  toBytes,
} from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { patchMetadata, unsupported } from '../agents/definition.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { type JsonObject, toJsonObject } from '../base/json.ts';
import type { EnvironmentRow, Page, PageInput, Store } from '../store/store.ts';
import { resolveLimited } from './networking.ts';

/** Use cases of environments: the templates that sandboxes are made from. */
export interface Environments {
  /** With `id`, the environment is the one of that id, made now or by an earlier try. */
  create(tenantId: string, body: EnvironmentCreate, id?: string): Promise<Environment>;
  get(tenantId: string, id: string): Promise<Environment>;
  list(tenantId: string, input: PageInput & { includeArchived: boolean }): Promise<Page<Environment>>;
  update(tenantId: string, id: string, body: EnvironmentUpdate): Promise<Environment>;
  archive(tenantId: string, id: string): Promise<Environment>;
  /** Sessions made from it keep their own copy. */
  remove(tenantId: string, id: string): Promise<void>;
}

export interface EnvironmentLimits {
  readonly allowUnrestrictedNetwork: boolean;
  /** The most that the files of a session may take; undefined for no bound. */
  readonly maxDiskBytes?: number | undefined;
}

export function createEnvironments(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly limits: EnvironmentLimits;
  /** Looks whether the mounts and the runtime asked for can be had. */
  readonly checkExtras: (config: JsonObject) => Promise<void>;
  /** Told once a change is in the store. */
  readonly onChanged?: () => Promise<void>;
}): Environments {
  const { store, clock, limits } = deps;
  return {
    async create(tenantId, body, id = newId('environment')) {
      refuseScope(body.scope);
      const definition: EnvironmentDefinition = {
        name: body.name,
        description: body.description || null,
        config: resolveConfig(body.config ?? { type: 'container' }, limits),
        metadata: body.metadata ?? {},
      };
      await deps.checkExtras(toJsonObject(definition.config));
      return toEnvironment(await store.environments.create({ id, tenantId, definition: toJsonObject(definition), now: clock.now() }));
    },
    get: async (tenantId, id) => toEnvironment(await requireEnvironment(store, tenantId, id)),
    list: async (tenantId, input) => mapPage(await store.environments.list({ tenantId, ...input }), toEnvironment),
    async update(tenantId, id, body) {
      refuseScope(body.scope);
      const row = await requireEnvironment(store, tenantId, id);
      if (row.archivedAt !== null) throw new PlatformError('environment_archived');
      const current = parseDefinition(row);
      const definition: EnvironmentDefinition = {
        name: body.name ?? current.name,
        description: body.description === undefined ? current.description : body.description || null,
        config: body.config === undefined || body.config === null ? current.config : mergeConfig(current.config, body.config, limits),
        metadata: patchMetadata(current.metadata, body.metadata),
      };
      if (body.config !== undefined && body.config !== null) await deps.checkExtras(toJsonObject(definition.config));
      const updated = await store.environments.update({ tenantId, id, definition: toJsonObject(definition), now: clock.now() });
      await deps.onChanged?.();
      return toEnvironment(updated);
    },
    archive: async (tenantId, id) => toEnvironment(await store.environments.archive({ tenantId, id, now: clock.now() })),
    async remove(tenantId, id) {
      if (!(await store.environments.remove({ tenantId, id }))) throw notFound(id);
    },
  };
}

export async function requireEnvironment(store: Store, tenantId: string, id: string): Promise<EnvironmentRow> {
  const row = await store.environments.find({ tenantId, id });
  if (row === undefined) throw notFound(id);
  return row;
}

function notFound(id: string): PlatformError {
  return new PlatformError('environment_not_found', { detail: `There is no environment "${id.slice(0, 80)}".` });
}

function refuseScope(scope: EnvironmentCreate['scope']): void {
  if (scope === 'account') throw unsupported('/scope', 'environments of a single account');
}

const CONTAINER_DEFAULTS = { memory: '1g', cpus: 1, pids: 256 } as const;

function resolveConfig(param: EnvironmentConfigParam, limits: EnvironmentLimits): EnvironmentConfig {
  if (param.type === 'self_hosted') throw unsupported('/config/type', 'self-hosted environments: this server is the host');
  const networking = resolveNetworking(param.networking, limits);
  if (param.type === 'cloud') return { type: 'cloud', networking, packages: resolvePackages(param.packages) };
  refuseDisk(param.disk, limits);
  return {
    type: 'container',
    image: param.image ?? null,
    memory: param.memory ?? CONTAINER_DEFAULTS.memory,
    disk: param.disk ?? null,
    ...resolveWorkspace(param),
    sandbox: param.sandbox ?? 'session',
    cpus: param.cpus ?? CONTAINER_DEFAULTS.cpus,
    pids: param.pids ?? CONTAINER_DEFAULTS.pids,
    env: param.env ?? {},
    networking,
    runtime: param.runtime ?? null,
    mounts: (param.mounts ?? []).map(({ source, target, read_only }) => ({
      source,
      target,
      read_only: source === 'shared' || read_only !== false,
    })),
    sleep: resolveSleep(param.sleep),
    warm: param.warm ?? null,
  };
}

/** An environment that asked for more before the bound was set gets the bound. */
function refuseDisk(disk: ContainerParam['disk'], { maxDiskBytes }: EnvironmentLimits): void {
  if (disk === undefined || disk === null || maxDiskBytes === undefined || toBytes(disk) <= maxDiskBytes) return;
  throw new PlatformError('request_invalid', {
    detail: `The operator allows the files of a session less than that, ${maxDiskBytes} bytes at most.`,
    fields: [{ pointer: '/config/disk', message: `at most ${maxDiskBytes} bytes` }],
  });
}

type ContainerParam = Extract<EnvironmentConfigParam, { type: 'container' }>;

function resolveWorkspace({ workspace, snapshots }: ContainerParam): { workspace: 'session' | 'agent'; snapshots: 'none' | 'turn' } {
  if (workspace === 'agent' && snapshots === 'turn')
    throw new PlatformError('request_invalid', {
      detail: 'A workspace that sessions share is not kept by the turns of one of them.',
      fields: [{ pointer: '/config/snapshots', message: 'only with the workspace `session`' }],
    });
  return { workspace: workspace ?? 'session', snapshots: snapshots ?? 'none' };
}

function resolveSleep(sleep: ContainerParam['sleep']): Extract<EnvironmentConfig, { type: 'container' }>['sleep'] {
  if (sleep === undefined || sleep === null) return null;
  const { pause_after_seconds = null, hibernate_after_seconds = null, stop_after_seconds = null } = sleep;
  return { pause_after_seconds, hibernate_after_seconds, stop_after_seconds };
}

/** Fields left out stay as they are; the type cannot change. */
function mergeConfig(current: EnvironmentConfig, param: EnvironmentConfigParam, limits: EnvironmentLimits): EnvironmentConfig {
  if (param.type !== current.type)
    throw new PlatformError('request_invalid', {
      detail: 'The type of an environment cannot change.',
      fields: [{ pointer: '/config/type', message: `stays ${current.type}` }],
    });
  const given = Object.fromEntries(Object.entries(param).filter(([, value]) => value !== undefined && value !== null));
  // Both sides have the same type, and what was given has been checked against its schema.
  return resolveConfig({ ...current, ...given } as EnvironmentConfigParam, limits);
}

function resolveNetworking(
  param: Extract<EnvironmentConfigParam, { type: 'cloud' }>['networking'],
  limits: EnvironmentLimits,
): EnvironmentConfig['networking'] {
  if (param === undefined || param === null || param.type === 'none') return { type: 'none' };
  if (param.type === 'unrestricted') {
    if (!limits.allowUnrestrictedNetwork)
      throw new PlatformError('network_unrestricted_refused', {
        fields: [{ pointer: '/config/networking/type', message: 'not allowed here' }],
      });
    return { type: 'unrestricted' };
  }
  if (param.allow_package_managers)
    throw unsupported(
      '/config/networking/allow_package_managers',
      'a list of package registries of its own; name the hosts in allowed_hosts',
    );
  return { type: 'limited', ...resolveLimited(param), allow_mcp_servers: param.allow_mcp_servers ?? false, allow_package_managers: false };
}

const NO_PACKAGES = { type: 'packages' as const, apt: [], cargo: [], gem: [], go: [], npm: [], pip: [] };

function resolvePackages(packages: Extract<EnvironmentConfigParam, { type: 'cloud' }>['packages']): typeof NO_PACKAGES {
  const asked = Object.entries(packages ?? {}).find(([, value]) => Array.isArray(value) && value.length > 0);
  if (asked !== undefined) throw unsupported(`/config/packages/${asked[0]}`, 'installing packages; build them into an image');
  return NO_PACKAGES;
}

function parseDefinition(row: EnvironmentRow): EnvironmentDefinition {
  return environmentDefinitionSchema.parse(row.definition);
}

function toEnvironment(row: EnvironmentRow): Environment {
  return {
    id: row.id,
    type: 'environment',
    ...parseDefinition(row),
    scope: 'organization',
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
    archived_at: row.archivedAt === null ? null : toTimestamp(row.archivedAt),
  };
}
