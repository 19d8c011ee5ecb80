import type { Agent } from '@cloister/api';
import type { z } from 'zod';
import { isPlatformError } from '../../../base/errors.ts';
import type { HttpDeps } from '../../context.ts';
import type { RouteTable } from '../../openapi.ts';
import { allAgents } from '../choices.ts';
import { serviceIdOf, toClawHq, toCreate, toFields, VAULT } from './agent.ts';
import { findService } from './deploy.ts';
import { keepKey } from './keys.ts';
import { clawHqRoute, requireClawHqAgent } from './route.ts';
import {
  type AgentFields,
  type ClawHqAgent,
  createSchema,
  exportSchema,
  importSchema,
  listSchema,
  messageSchema,
  oneSchema,
  patchedSchema,
  patchSchema,
} from './schemas.ts';

const MISSING = ['agent_not_found'] as const;
const MADE = ['vault_limit_reached', 'capability_unsupported', 'model_unknown', 'provider_not_configured', 'plan_limit_reached'] as const;

export function agentRoutes(table: RouteTable): void {
  collectionRoutes(table);
  // Before the routes of one agent, whose id could be `import`.
  importRoute(table);
  oneRoutes(table);
  portableRoutes(table);
}

function collectionRoutes(table: RouteTable): void {
  const { deps } = table;
  clawHqRoute(
    table,
    {
      method: 'get',
      path: '/api/agents',
      operationId: 'clawhqListAgents',
      summary: 'The agents, with their containers',
      response: listSchema,
    },
    async ({ tenantId }) => {
      const all = await allAgents(deps, tenantId);
      const activity = await deps.store.agents.activity({ tenantId, ids: all.map(({ id }) => id) });
      const services = await servicesOf(deps, tenantId);
      return { agents: all.map((agent) => toClawHq(agent, services.get(serviceIdOf(agent.id)), activity.get(agent.id))) };
    },
  );
  clawHqRoute(
    table,
    {
      method: 'post',
      path: '/api/agents',
      operationId: 'clawhqCreateAgent',
      summary: 'Create an agent; it is deployed by itself',
      body: createSchema,
      status: 201,
      response: oneSchema,
      problems: MADE,
    },
    async ({ c, tenantId, body, reservation }) => {
      const made = await make(deps, tenantId, body, reservation.idFor('agent'));
      return c.json({ agent: await shown(deps, tenantId, made) }, 201);
    },
  );
}

function oneRoutes(table: RouteTable): void {
  const { deps } = table;
  const path = '/api/agents/{id}';
  clawHqRoute(
    table,
    { method: 'get', path, operationId: 'clawhqGetAgent', summary: 'An agent', response: oneSchema, problems: MISSING },
    async ({ tenantId, param }) => ({ agent: await shown(deps, tenantId, await requireClawHqAgent(deps, tenantId, param('id'))) }),
  );
  clawHqRoute(
    table,
    {
      method: 'patch',
      path,
      operationId: 'clawhqUpdateAgent',
      summary: 'Change an agent; its container hears of it at the next deploy',
      body: patchSchema,
      response: patchedSchema,
      problems: [...MISSING, ...MADE, 'agent_version_conflict'],
    },
    async ({ tenantId, param, body }) => {
      const current = await requireClawHqAgent(deps, tenantId, param('id'));
      const given = Object.fromEntries(Object.entries(body).filter(([name, value]) => value !== undefined && name !== 'apiKey'));
      const fields: AgentFields = { ...toFields(current), ...given };
      const vault = body.apiKey ? await keepKey(deps, tenantId, { ...fields, apiKey: body.apiKey }) : undefined;
      if (vault !== undefined) {
        await deps.vaults.update(tenantId, vault, { agent_ids: [current.id] });
        await forgetKey(deps, tenantId, current);
      }
      const updated = await deps.agents.update(tenantId, current.id, toCreate(fields, vault));
      const isDeployed = (await findService(deps, tenantId, current.id)) !== undefined;
      return { agent: await shown(deps, tenantId, updated), configDirty: isDeployed && updated.version !== current.version };
    },
  );
  clawHqRoute(
    table,
    {
      method: 'delete',
      path,
      operationId: 'clawhqDeleteAgent',
      summary: 'Delete an agent and its container',
      response: messageSchema,
      problems: MISSING,
    },
    async ({ tenantId, param }) => {
      const agent = await requireClawHqAgent(deps, tenantId, param('id'));
      const { id } = agent;
      if ((await findService(deps, tenantId, id)) !== undefined) await deps.services.remove(tenantId, serviceIdOf(id));
      await forgetKey(deps, tenantId, agent);
      await deps.agents.archive(tenantId, id);
      return { message: 'Agent deleted' };
    },
  );
}

function portableRoutes(table: RouteTable): void {
  const { deps } = table;
  const problems = [...MISSING, ...MADE];
  clawHqRoute(
    table,
    {
      method: 'post',
      path: '/api/agents/{id}/duplicate',
      operationId: 'clawhqDuplicateAgent',
      summary: 'Create an agent like another one; its container is not copied',
      status: 201,
      response: oneSchema,
      problems,
    },
    async ({ c, tenantId, param, reservation }) => {
      const fields = toFields(await requireClawHqAgent(deps, tenantId, param('id')));
      const copy = { ...fields, name: `${fields.name.slice(0, 43)} (Copy)` };
      const made = await deps.agents.create(tenantId, toCreate(copy), reservation.idFor('agent'));
      return c.json({ agent: await shown(deps, tenantId, made) }, 201);
    },
  );
  clawHqRoute(
    table,
    {
      method: 'get',
      path: '/api/agents/{id}/export',
      operationId: 'clawhqExportAgent',
      summary: 'An agent as a .claw file; without keys, tokens and files',
      response: exportSchema,
      problems: MISSING,
    },
    async ({ c, tenantId, param }) => {
      const agent = await requireClawHqAgent(deps, tenantId, param('id'));
      c.header('Content-Disposition', `attachment; filename="${agent.id}.claw"`);
      return { version: '1.0', exportedAt: new Date(deps.clock.now()).toISOString(), agent: toFields(agent) };
    },
  );
}

function importRoute(table: RouteTable): void {
  const { deps } = table;
  clawHqRoute(
    table,
    {
      method: 'post',
      path: '/api/agents/import',
      operationId: 'clawhqImportAgent',
      summary: 'Create an agent from a .claw file',
      body: importSchema,
      status: 201,
      response: oneSchema,
      problems: MADE,
    },
    async ({ c, tenantId, body, reservation }) => {
      const made = await make(deps, tenantId, body.agent, reservation.idFor('agent'));
      return c.json({ agent: await shown(deps, tenantId, made) }, 201);
    },
  );
}

/** An agent with a key of its own has it in a vault that is for it alone. */
async function make(deps: HttpDeps, tenantId: string, body: z.output<typeof createSchema>, id: string | undefined): Promise<Agent> {
  const { apiKey, systemPrompt = null, ...rest } = body;
  const fields: AgentFields = { ...rest, systemPrompt, usesBundledApi: apiKey ? false : rest.usesBundledApi };
  if (!apiKey) return deps.agents.create(tenantId, toCreate(fields), id);
  // What was made before by the same request has its vault.
  const made = id === undefined ? undefined : await deps.store.agents.find({ tenantId, id });
  if (made !== undefined) return deps.agents.get(tenantId, made.id);
  const vault = await keepKey(deps, tenantId, { ...fields, apiKey });
  try {
    const agent = await deps.agents.create(tenantId, toCreate(fields, vault), id);
    await deps.vaults.update(tenantId, vault, { agent_ids: [agent.id] });
    return agent;
  } catch (error) {
    await deps.vaults.remove(tenantId, vault);
    throw error;
  }
}

async function forgetKey(deps: HttpDeps, tenantId: string, { metadata }: Agent): Promise<void> {
  const vault = metadata[VAULT];
  if (vault === undefined) return;
  await deps.vaults.remove(tenantId, vault).catch((error: unknown) => {
    if (!isPlatformError(error, 'vault_not_found')) throw error;
  });
}

async function shown(deps: HttpDeps, tenantId: string, agent: Agent): Promise<ClawHqAgent> {
  const activity = await deps.store.agents.activity({ tenantId, ids: [agent.id] });
  return toClawHq(agent, await findService(deps, tenantId, agent.id), activity.get(agent.id));
}

const PAGE = 100;

async function servicesOf({ services }: HttpDeps, tenantId: string) {
  const all = new Map<string, Awaited<ReturnType<typeof services.get>>>();
  let page: string | undefined;
  do {
    const next = await services.list(tenantId, { limit: PAGE, order: 'desc', page });
    for (const service of next.data) if (service.desired_state !== 'deleted') all.set(service.id, service);
    page = next.next ?? undefined;
  } while (page !== undefined);
  return all;
}
