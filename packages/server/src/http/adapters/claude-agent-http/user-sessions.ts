import type { AgentCreate, AgentHttpSession, AgentHttpSessionCreate, EnvironmentCreate } from '@cloister/api';
import { delay, toTimestamp } from '../../../base/clock.ts';
import { isPlatformError, PlatformError } from '../../../base/errors.ts';
import { asJsonObject, toJsonObject } from '../../../base/json.ts';
import type { AdapterSessionRow } from '../../../store/store.ts';
import type { HttpDeps } from '../../context.ts';
import { stopTurn } from '../ask.ts';
import { adapterEnvironment, userAgent } from '../user-place.ts';
import { pluginSkills } from './plugins.ts';
import { toTools } from './tools.ts';

export const ADAPTER = 'claude-agent-http';
const WORKSPACE = '/workspace';

const ENVIRONMENT: EnvironmentCreate = {
  name: ADAPTER,
  description: 'Where the sessions of the Claude Agent HTTP API work; all sessions of a user have one workspace.',
  // The operator's settings say which MCP servers there are.
  config: { type: 'container', workspace: 'agent', networking: { type: 'limited', allow_mcp_servers: true } },
};

/** A session of a user, made with the settings of now. Throws `path_invalid` and `user_session_limit_reached`. */
export async function createUserSession(
  deps: HttpDeps,
  tenantId: string,
  body: AgentHttpSessionCreate,
  id: string,
): Promise<AdapterSessionRow> {
  const { user_id: userId, metadata } = body;
  const { store, clock } = deps;
  const { maxSessionsPerUser: max, sessionTtlMs } = deps.adapters.agentHttp;
  const subdir = subdirOf(body.subdir);
  const own = { tenantId, adapter: ADAPTER, sessionId: id } as const;
  const now = clock.now();
  const activeAfter = sessionTtlMs === undefined ? undefined : now - sessionTtlMs;
  await store.adapterSessions.claim({ ...own, userId, data: toJsonObject({ metadata: metadata ?? {}, subdir }), max, activeAfter, now });
  try {
    const environment = await adapterEnvironment(deps, own, ENVIRONMENT);
    const agent = await userAgent(deps, {
      ...own,
      userId,
      body: { ...agentOf(deps, userId), skills: [...(await pluginSkills(deps, own))] },
    });
    const system = [agent.system, subdir === '' ? null : directoryNote(subdir)].filter((text) => text !== null).join('\n\n');
    await deps.sessions.create(
      tenantId,
      {
        agent: { type: 'agent_with_overrides', id: agent.id, system },
        environment_id: environment.id,
        title: `${userId}${subdir === '' ? '' : ` in ${subdir}`}`,
        metadata: { 'cloister.adapter': ADAPTER, user_id: userId },
      },
      id,
    );
    if (subdir !== '') await makeDirectory(deps, { tenantId, sessionId: id }, subdir);
  } catch (error) {
    await deps.sessions.remove(tenantId, id).catch(unlessMissing);
    await store.adapterSessions.unclaim(own);
    throw error;
  }
  return requireUserSession(deps, tenantId, id);
}

function agentOf({ adapters, usual }: HttpDeps, userId: string): AgentCreate {
  const { agentHttp: settings } = adapters;
  return {
    name: `${userId} (${ADAPTER})`,
    model: settings.model ?? usual.model,
    harness: usual.harness,
    system: settings.systemPrompt,
    tools: toTools(settings),
    mcp_servers: [...settings.mcpServers],
    // One message at a time: another one is answered with 429.
    follow_up: 'refuse',
  };
}

function directoryNote(subdir: string): string {
  return `Your working directory for this session is ${WORKSPACE}/${subdir}. Begin there, and keep to it unless you are asked otherwise.`;
}

function subdirOf(subdir: string | null | undefined): string {
  if (subdir === null || subdir === undefined) return '';
  if (subdir.startsWith('/') || subdir.split('/').includes('..'))
    throw new PlatformError('path_invalid', {
      detail: 'The subdir is a path below the directory of the user, without "..".',
      fields: [{ pointer: '/subdir', message: 'relative, without ..' }],
    });
  return subdir
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

async function makeDirectory(deps: HttpDeps, session: { tenantId: string; sessionId: string }, path: string): Promise<void> {
  await deps.files.makeDirectory(session, path).catch((error: unknown) => {
    // Another session of the user has made it.
    if (!isPlatformError(error, 'file_conflict')) throw error;
  });
}

/** Throws `session_not_found` also for one that is over: it is removed in time. */
export async function requireUserSession(deps: HttpDeps, tenantId: string, sessionId: string): Promise<AdapterSessionRow> {
  const row = await deps.store.adapterSessions.find({ tenantId, adapter: ADAPTER, sessionId });
  if (row === undefined || isOver(deps, row)) throw new PlatformError('session_not_found');
  return row;
}

function isOver({ adapters, clock }: HttpDeps, { state, lastActiveAt }: AdapterSessionRow): boolean {
  const { sessionTtlMs } = adapters.agentHttp;
  if (state === 'terminated') return true;
  return sessionTtlMs !== undefined && state === 'idle' && lastActiveAt <= clock.now() - sessionTtlMs;
}

const PAGE = 100;
const MOST = 1000;

/** The newest first. */
export async function listUserSessions(deps: HttpDeps, tenantId: string, userId: string | undefined): Promise<readonly string[]> {
  const ids: string[] = [];
  let page: string | undefined;
  do {
    const next = await deps.store.adapterSessions.list({ tenantId, adapter: ADAPTER, userId, limit: PAGE, order: 'desc', page });
    ids.push(...next.data.filter((row) => !isOver(deps, row)).map(({ sessionId }) => sessionId));
    page = next.next ?? undefined;
  } while (page !== undefined && ids.length < MOST);
  return ids.slice(0, MOST);
}

const STOP_MS = 10_000;
const LOOK_MS = 50;

/** Stops what the session does, and removes it; the files of its user stay. */
export async function removeUserSession(deps: HttpDeps, tenantId: string, sessionId: string): Promise<void> {
  await requireUserSession(deps, tenantId, sessionId);
  const until = deps.clock.monotonic() + STOP_MS;
  for (;;) {
    const isRemoved = await deps.sessions.remove(tenantId, sessionId).then(
      () => true,
      (error: unknown) => {
        if (isPlatformError(error, 'session_busy') && deps.clock.monotonic() < until) return false;
        return unlessMissing(error) ?? true;
      },
    );
    if (isRemoved) return;
    const under = await deps.turns.list(tenantId, {
      sessionId,
      states: ['queued', 'running', 'waiting_approval'],
      limit: PAGE,
      order: 'asc',
    });
    for (const { id: turnId } of under.data) await stopTurn(deps, { tenantId, sessionId, turnId });
    await delay(deps.clock, LOOK_MS);
  }
}

function unlessMissing(error: unknown): undefined {
  if (!isPlatformError(error, 'session_not_found')) throw error;
}

export function toAgentHttpSession(row: AdapterSessionRow): AgentHttpSession {
  const { metadata, subdir } = row.data;
  return {
    session_id: row.sessionId,
    user_id: row.userId,
    cwd: typeof subdir === 'string' && subdir !== '' ? `${WORKSPACE}/${subdir}` : WORKSPACE,
    created_at: toTimestamp(row.createdAt),
    last_active_at: toTimestamp(row.lastActiveAt),
    message_count: row.messages,
    status: 'active',
    metadata: { ...asJsonObject(metadata) },
  };
}
