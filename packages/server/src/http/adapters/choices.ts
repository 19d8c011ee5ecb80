import type { Agent } from '@cloister/api';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import type { HttpDeps } from '../context.ts';

const PAGE = 100;

/** All agents that can be talked with, the newest first. */
export async function allAgents({ agents }: Pick<HttpDeps, 'agents'>, tenantId: string): Promise<Agent[]> {
  const all: Agent[] = [];
  let page: string | undefined;
  do {
    const next = await agents.list(tenantId, { limit: PAGE, order: 'desc', includeArchived: false, page });
    all.push(...next.data);
    page = next.next ?? undefined;
  } while (page !== undefined);
  return all;
}

/** The agent of that id, or else the newest of that name. Throws `agent_not_found`. */
export async function agentByName(deps: Pick<HttpDeps, 'agents'>, tenantId: string, wanted: string, pointer: string): Promise<Agent> {
  const byId = wanted.startsWith('agt_') ? await agentById(deps, tenantId, wanted) : undefined;
  const found = byId ?? (await allAgents(deps, tenantId)).find(({ name }) => name === wanted);
  if (found !== undefined && found.archived_at === null) return found;
  throw new PlatformError('agent_not_found', {
    detail: `There is no agent "${wanted.slice(0, 80)}".`,
    fields: [{ pointer, message: 'the id or the name of an agent' }],
  });
}

async function agentById({ agents }: Pick<HttpDeps, 'agents'>, tenantId: string, id: string): Promise<Agent | undefined> {
  try {
    return await agents.get(tenantId, id);
  } catch (error) {
    if (isPlatformError(error, 'agent_not_found')) return undefined;
    throw error;
  }
}

/** Where sessions work whose client cannot say: the environment named `default`, else the newest. */
export async function usualEnvironment({ environments }: Pick<HttpDeps, 'environments'>, tenantId: string): Promise<string> {
  const { data } = await environments.list(tenantId, { limit: PAGE, order: 'desc', includeArchived: false });
  const found = data.find(({ name }) => name === 'default') ?? data[0];
  if (found === undefined)
    throw new PlatformError('environment_not_found', { detail: 'There is no environment; make one named "default".' });
  return found.id;
}
