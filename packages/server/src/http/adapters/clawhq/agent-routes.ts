import type { Agent } from '@cloister/api';
import { PlatformError } from '../../../base/errors.ts';
import type { HttpDeps } from '../../context.ts';
import type { RouteTable } from '../../openapi.ts';
import { allAgents } from '../choices.ts';
import { serviceIdOf, toClawHq, toCreate, toFields } from './agent.ts';
import { findService } from './deploy.ts';
import { clawHqRoute, requireClawHqAgent } from './route.ts';
import {
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
const MADE = ['capability_unsupported', 'model_unknown', 'provider_not_configured', 'plan_limit_reached'] as const;

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
      refuseKey(body.apiKey);
      const { apiKey: _key, systemPrompt = null, ...fields } = body;
      const made = await deps.agents.create(tenantId, toCreate({ ...fields, systemPrompt }), reservation.idFor('agent'));
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
      refuseKey(body.apiKey);
      const current = await requireClawHqAgent(deps, tenantId, param('id'));
      const given = Object.fromEntries(Object.entries(body).filter(([name, value]) => value !== undefined && name !== 'apiKey'));
      const updated = await deps.agents.update(tenantId, current.id, toCreate({ ...toFields(current), ...given }));
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
      const { id } = await requireClawHqAgent(deps, tenantId, param('id'));
      if ((await findService(deps, tenantId, id)) !== undefined) await deps.services.remove(tenantId, serviceIdOf(id));
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
      refuseKey(body.agent.apiKey);
      const { apiKey: _key, systemPrompt = null, ...fields } = body.agent;
      const made = await deps.agents.create(tenantId, toCreate({ ...fields, systemPrompt }), reservation.idFor('agent'));
      return c.json({ agent: await shown(deps, tenantId, made) }, 201);
    },
  );
}

function refuseKey(apiKey: string | null | undefined): void {
  if (!apiKey) return;
  throw new PlatformError('request_invalid', {
    detail: 'Keys of providers are not kept with agents: put the key into a vault, and leave apiKey out.',
    fields: [{ pointer: '/apiKey', message: 'kept in a vault' }],
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
