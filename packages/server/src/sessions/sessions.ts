import {
  type AgentDefinition,
  type ResourceParam,
  type Session,
  type SessionCreate,
  type SessionSandbox,
  type SessionUpdate,
  sessionAgentSchema,
} from '@cloister/api';
import { EMPTY_AGENT_FIELDS, mapPage, parseDefinition, requireAgent } from '../agents/agents.ts';
import {
  type AgentLimits,
  limitsFor,
  mergeDefinition,
  patchMetadata,
  requireRunnable,
  resolveTools,
  unsupported,
} from '../agents/definition.ts';
import { requireToolsets, resolveMcpServers } from '../agents/mcp-and-skills.ts';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { toJsonObject } from '../base/json.ts';
import { requireEnvironment } from '../environments/environments.ts';
import { sharesWorkspace } from '../sandboxes/session-files.ts';
import type { CreatedRange, JsonObject, Page, PageInput, SessionRow, SessionState, Store } from '../store/store.ts';
import { requireUsableVaults } from '../vaults/vaults.ts';
import type { SendEvents } from './send-events.ts';
import { requireSupported, type SupportedEvent } from './supported-events.ts';
import { toSession } from './wire.ts';

/** Use cases of sessions. Ids of other tenants are as missing ones. */
export interface Sessions {
  /** With `id`, the session is the one of that id, made now or by an earlier try. */
  create(tenantId: string, body: SessionCreate, id?: string): Promise<Session>;
  get(tenantId: string, id: string): Promise<Session>;
  list(tenantId: string, input: SessionListInput): Promise<Page<Session>>;
  /** With `eventId`, the update is the one that event tells of, made now or by an earlier try. */
  update(tenantId: string, id: string, body: SessionUpdate, eventId?: string): Promise<Session>;
  /** Brings the session to the newest version of its agent, from its next turn on. */
  follow(tenantId: string, id: string): Promise<void>;
  archive(tenantId: string, id: string): Promise<Session>;
  /** Removes the log, the workspace and the sandbox. */
  remove(tenantId: string, id: string): Promise<void>;
}

export interface SessionListInput extends PageInput, CreatedRange {
  readonly includeArchived: boolean;
  readonly agentId?: string | undefined;
  readonly agentVersion?: number | undefined;
  readonly statuses?: readonly Session['status'][] | undefined;
  /** Published filters by what is not here. */
  readonly deploymentId?: string | undefined;
  readonly memoryStoreId?: string | undefined;
}

export interface Giving {
  /** The resources as the session's row keeps them. Throws for what is not there or not possible. */
  resources(tenantId: string, params: readonly ResourceParam[]): Promise<readonly JsonObject[]>;
  /** The definition with its skills at the versions of now. */
  pin(tenantId: string, definition: AgentDefinition): Promise<AgentDefinition>;
}

export interface SessionsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly limits: AgentLimits;
  /** Where this server has the files of sessions. */
  readonly volumeId: string;
  readonly send: SendEvents;
  /** What sessions are given beyond their agent: files, memory, skills at a version. Left out, they are given nothing. */
  readonly giving?: Giving | undefined;
  /** Stops the session's sandbox; with `isRemoved` its files go too. */
  readonly release: (sessionId: string, options: { isRemoved: boolean }) => Promise<void>;
  /** Told of a new session that nobody has written to yet: its sandbox may be opened ahead. Must not block. */
  readonly prepare?: ((session: SessionRow) => void) | undefined;
  /** The live sandbox that this server has for the session. */
  readonly sandboxOf?: ((sessionId: string) => SessionSandbox | null) | undefined;
}

export function createSessions(deps: SessionsDeps): Sessions {
  const { store, clock } = deps;
  const answer = (row: SessionRow): Session => toSession(row, clock.now(), deps.sandboxOf?.(row.id) ?? null);
  return {
    async create(tenantId, body, id) {
      refuseUnsupported(body, deps.giving !== undefined);
      const initial = requireSupported(body.initial_events ?? [], '/initial_events');
      // What was made before is not asked again whether it may be made.
      const made = id === undefined ? undefined : await store.sessions.find({ tenantId, id });
      const row = made ?? (await createRow(deps, tenantId, body, id ?? newId('session')));
      if (initial.length > 0) await sendInitial(deps, row, { events: initial, isOnce: id !== undefined });
      else if (made === undefined) deps.prepare?.(row);
      return answer(await requireSession(store, tenantId, row.id));
    },
    get: async (tenantId, id) => answer(await requireSession(store, tenantId, id)),
    async list(tenantId, { statuses, deploymentId, memoryStoreId, ...input }) {
      if (deploymentId !== undefined) throw unsupported('deployment_id', 'deployments');
      if (memoryStoreId !== undefined) throw unsupported('memory_store_id', 'memory stores');
      const states = statuses?.flatMap(toStates);
      return mapPage(await store.sessions.list({ tenantId, ...input, ...(states === undefined ? {} : { states }) }), answer);
    },
    async update(tenantId, id, body, eventId = newId('event')) {
      refuseUnsupported(body, deps.giving !== undefined);
      if (body.vault_ids?.length) throw unsupported('/vault_ids', 'other vaults for a session that there is');
      const current = await requireSession(store, tenantId, id);
      const agent = withTools(current, body.agent);
      const metadata =
        body.metadata === undefined || body.metadata === null ? undefined : patchMetadata(stringRecord(current.metadata), body.metadata);
      const now = clock.now();
      const changed: JsonObject = {
        ...(body.title === undefined ? {} : { title: body.title }),
        ...(metadata === undefined ? {} : { metadata }),
        ...(agent === undefined ? {} : { agent: agentEvent(current, agent) }),
      };
      if (Object.keys(changed).length === 0) return answer(current);
      const event = { id: eventId, type: 'session.updated', payload: changed, processedAt: now };
      return answer(await store.sessions.update({ tenantId, id, title: body.title, metadata, agent, event, now }));
    },
    async follow(tenantId, id) {
      const current = await requireSession(store, tenantId, id);
      const row = await requireAgent(store.agents, tenantId, current.agentId);
      if (row.version === current.agentVersion) return;
      const agent = toJsonObject(parseDefinition(row));
      const now = clock.now();
      const changed = { ...current, agentVersion: row.version };
      const event = { id: newId('event'), type: 'session.updated', payload: { agent: agentEvent(changed, agent) }, processedAt: now };
      await store.sessions.update({ tenantId, id, agent, agentVersion: row.version, event, now });
    },
    async archive(tenantId, id) {
      const row = await store.sessions.archive({ tenantId, id, now: clock.now() });
      await deps.release(id, { isRemoved: false });
      return answer(row);
    },
    async remove(tenantId, id) {
      const now = clock.now();
      const isRemoved = await store.sessions.remove({
        tenantId,
        id,
        event: { id: newId('event'), type: 'session.deleted', payload: {}, processedAt: now },
        now,
      });
      if (!isRemoved) throw sessionNotFound(id);
      await deps.release(id, { isRemoved: true });
    },
  };
}

async function createRow(deps: SessionsDeps, tenantId: string, body: SessionCreate, id: string): Promise<SessionRow> {
  const agent = await resolveAgentParam(deps, tenantId, body.agent);
  const environment = await requireEnvironment(deps.store, tenantId, body.environment_id);
  if (environment.archivedAt !== null) throw new PlatformError('environment_archived');
  const vaultIds = [...new Set(body.vault_ids ?? [])];
  await requireUsableVaults(deps.store, tenantId, vaultIds);
  const resources = await deps.giving?.resources(tenantId, body.resources ?? []);
  return deps.store.sessions.create({
    id,
    tenantId,
    agentId: agent.id,
    agentVersion: agent.version,
    agent: agent.definition,
    environmentId: environment.id,
    environment: environment.definition,
    resources,
    title: body.title ?? null,
    metadata: body.metadata ?? {},
    vaultIds,
    sharedVolumeId: sharesWorkspace(environment.definition) ? deps.volumeId : undefined,
    now: deps.clock.now(),
  });
}

/** A session whose first messages are refused is none: the caller was told that nothing was made. */
async function sendInitial(
  deps: SessionsDeps,
  { tenantId, id }: SessionRow,
  { events, isOnce }: { readonly events: readonly SupportedEvent[]; readonly isOnce: boolean },
): Promise<void> {
  try {
    // With the space it is no key that a request can have.
    await deps.send({ tenantId, sessionId: id, events, ...(isOnce ? { idempotencyKey: `initial ${id}` } : {}) });
  } catch (error) {
    const now = deps.clock.now();
    await deps.store.sessions.remove({
      tenantId,
      id,
      event: { id: newId('event'), type: 'session.deleted', payload: {}, processedAt: now },
      now,
    });
    throw error;
  }
}

export async function requireSession(store: Pick<Store, 'sessions'>, tenantId: string, id: string): Promise<SessionRow> {
  const row = await store.sessions.find({ tenantId, id });
  if (row === undefined) throw sessionNotFound(id);
  return row;
}

function sessionNotFound(id: string): PlatformError {
  return new PlatformError('session_not_found', { detail: `There is no session "${id.slice(0, 80)}".` });
}

function refuseUnsupported(
  body: Pick<SessionCreate, 'budget'> & { readonly resources?: SessionCreate['resources'] },
  isGiving: boolean,
): void {
  if (!isGiving && body.resources?.length) throw unsupported('/resources', 'session resources');
  if (body.budget !== undefined && body.budget !== null) throw unsupported('/budget', 'budgets');
}

async function resolveAgentParam(
  deps: SessionsDeps,
  tenantId: string,
  param: SessionCreate['agent'],
): Promise<{ id: string; version: number; definition: JsonObject }> {
  const limits = await limitsFor(deps.limits, tenantId);
  const reference = typeof param === 'string' ? { type: 'agent' as const, id: param } : param;
  const row = await requireAgent(deps.store.agents, tenantId, reference.id, reference.version);
  if (row.archivedAt !== null) throw new PlatformError('agent_archived');
  const current = parseDefinition(row);
  const definition =
    reference.type === 'agent'
      ? current
      : mergeDefinition(
          current,
          {
            model: reference.model,
            system: reference.system,
            tools: reference.tools,
            mcp_servers: reference.mcp_servers,
            skills: reference.skills,
          },
          limits,
        );
  requireRunnable(definition, limits);
  const pinned = (await deps.giving?.pin(tenantId, definition)) ?? definition;
  return { id: row.id, version: row.version, definition: toJsonObject(pinned) };
}

function withTools(session: SessionRow, change: SessionUpdate['agent']): JsonObject | undefined {
  if (change?.tools === undefined && (change?.mcp_servers === undefined || change.mcp_servers === null)) return undefined;
  if (session.state !== 'idle') throw new PlatformError('session_busy');
  const current = parseDefinition({ definition: session.agent });
  const tools = change.tools === undefined ? current.tools : resolveTools(change.tools);
  const changed = { ...current, tools, mcp_servers: change.mcp_servers ? resolveMcpServers(change.mcp_servers) : current.mcp_servers };
  requireToolsets(changed);
  return toJsonObject({ ...session.agent, tools: changed.tools, mcp_servers: changed.mcp_servers });
}

/** The agent as `session.updated` carries it. */
function agentEvent(session: SessionRow, agent: JsonObject): JsonObject {
  const { id, version } = { id: session.agentId, version: session.agentVersion };
  return toJsonObject(sessionAgentSchema.parse({ ...agent, id, version, type: 'agent', ...EMPTY_AGENT_FIELDS }));
}

function toStates(status: Session['status']): SessionState[] {
  return status === 'idle' ? ['idle', 'waiting'] : [status];
}

function stringRecord(metadata: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
