import { type Agent, type AgentCreate, type AgentDefinition, type AgentUpdate, agentDefinitionSchema } from '@cloister/api';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { toJsonObject } from '../base/json.ts';
import type { AgentRow, AgentStore, CreatedRange, JsonObject, Page, PageInput, Store } from '../store/store.ts';
import { type AgentLimits, limitsFor, mergeDefinition, resolveDefinition } from './definition.ts';

/** Use cases of agents. Every answer is the wire's own shape; ids of other tenants are as missing ones. */
export interface Agents {
  /** With `id`, the agent is the one of that id, made now or by an earlier try. */
  create(tenantId: string, body: AgentCreate, id?: string): Promise<Agent>;
  get(tenantId: string, id: string, version?: number): Promise<Agent>;
  list(tenantId: string, input: PageInput & CreatedRange & { includeArchived: boolean }): Promise<Page<Agent>>;
  listVersions(tenantId: string, id: string, input: PageInput): Promise<Page<Agent>>;
  /** Makes a new version, unless nothing changes; with `isRepeat`, unless an earlier try has made it. */
  update(tenantId: string, id: string, body: AgentUpdate, options?: { readonly isRepeat?: boolean }): Promise<Agent>;
  archive(tenantId: string, id: string): Promise<Agent>;
}

export function createAgents(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly limits: AgentLimits;
  /** Throws `skill_not_found` or `skill_version_not_found` for what the definition names and is not there. */
  readonly checkSkills?: ((tenantId: string, skills: AgentDefinition['skills']) => Promise<void>) | undefined;
  /** Told once a change is in the store. */
  readonly onChanged?: () => Promise<void>;
}): Agents {
  const { store, clock, limits } = deps;
  return {
    async create(tenantId, body, id = newId('agent')) {
      const definition = resolveDefinition(body, await limitsFor(limits, tenantId));
      await deps.checkSkills?.(tenantId, definition.skills);
      return toAgent(await store.agents.create({ id, tenantId, definition: toJsonObject(definition), now: clock.now() }));
    },
    get: async (tenantId, id, version) => toAgent(await requireAgent(store.agents, tenantId, id, version)),
    async list(tenantId, input) {
      return mapPage(await store.agents.list({ tenantId, ...input }), toAgent);
    },
    async listVersions(tenantId, id, input) {
      await requireAgent(store.agents, tenantId, id);
      return mapPage(await store.agents.listVersions({ tenantId, id, ...input }), toAgent);
    },
    async update(tenantId, id, body, { isRepeat = false } = {}) {
      const row = await requireAgent(store.agents, tenantId, id);
      if (isRepeat && (await isMadeFrom(deps, row, body))) return toAgent(row);
      if (row.archivedAt !== null) throw new PlatformError('agent_archived');
      if (body.version !== undefined && body.version !== row.version) {
        throw new PlatformError('agent_version_conflict', {
          detail: `The agent is at version ${row.version}, you named version ${body.version}.`,
        });
      }
      const current = parseDefinition(row);
      const definition = mergeDefinition(current, body, await limitsFor(limits, tenantId));
      if (JSON.stringify(definition) === JSON.stringify(current)) return toAgent(row);
      await deps.checkSkills?.(tenantId, definition.skills);
      const updated = await store.agents.addVersion({
        tenantId,
        id,
        definition: toJsonObject(definition),
        expectedVersion: row.version,
        now: clock.now(),
      });
      await deps.onChanged?.();
      return toAgent(updated);
    },
    archive: async (tenantId, id) => toAgent(await store.agents.archive({ tenantId, id, now: clock.now() })),
  };
}

/** Whether the newest version is what the update makes of the version before: an earlier try has made it. */
async function isMadeFrom(
  { store, limits }: { readonly store: Store; readonly limits: AgentLimits },
  row: AgentRow,
  body: AgentUpdate,
): Promise<boolean> {
  if (row.version === 1) return false;
  const before = await requireAgent(store.agents, row.tenantId, row.id, row.version - 1);
  return (
    JSON.stringify(mergeDefinition(parseDefinition(before), body, await limitsFor(limits, row.tenantId))) ===
    JSON.stringify(parseDefinition(row))
  );
}

export async function requireAgent(agents: AgentStore, tenantId: string, id: string, version?: number): Promise<AgentRow> {
  const row = await agents.find({ tenantId, id, version });
  if (row !== undefined) return row;
  const isVersionMissing = version !== undefined && (await agents.find({ tenantId, id })) !== undefined;
  throw isVersionMissing
    ? new PlatformError('agent_version_not_found', { detail: `The agent has no version ${version}.` })
    : new PlatformError('agent_not_found', { detail: `There is no agent "${id.slice(0, 80)}".` });
}

export function parseDefinition(row: { readonly definition: JsonObject }): AgentDefinition {
  return agentDefinitionSchema.parse(row.definition);
}

/** Published fields that are always empty here. */
export const EMPTY_AGENT_FIELDS = {
  multiagent: null,
  execution_identity: { type: 'service_account' as const },
};

export function toAgent(row: AgentRow): Agent {
  return {
    id: row.id,
    type: 'agent',
    version: row.version,
    ...parseDefinition(row),
    ...EMPTY_AGENT_FIELDS,
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
    archived_at: row.archivedAt === null ? null : toTimestamp(row.archivedAt),
  };
}

export function mapPage<A, B>(page: Page<A>, map: (item: A) => B): Page<B> {
  return { ...page, data: page.data.map(map) };
}
