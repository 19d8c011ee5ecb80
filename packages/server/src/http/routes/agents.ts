import {
  agentCreateSchema,
  agentGetQuerySchema,
  agentListQuerySchema,
  agentSchema,
  agentUpdateSchema,
  pageOf,
  pageQuerySchema,
} from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';
import { createdRange, toPage } from './paging.ts';

const tag = 'Agents';
const UNRUNNABLE = [
  'harness_unknown',
  'model_unknown',
  'provider_not_configured',
  'capability_unsupported',
  'skill_not_found',
  'skill_version_not_found',
] as const;

export function agentRoutes(table: RouteTable): void {
  const { agents } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/agents',
      operationId: 'createAgent',
      summary: 'Create an agent',
      tag,
      body: agentCreateSchema,
      response: agentSchema,
      problems: UNRUNNABLE,
    },
    ({ tenantId, body, reservation }) => agents.create(tenantId, body, reservation.idFor('agent')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/agents',
      operationId: 'listAgents',
      summary: 'List agents',
      tag,
      query: agentListQuerySchema,
      response: pageOf(agentSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query }) =>
      toPage(
        await agents.list(tenantId, {
          limit: query.limit,
          page: query.page,
          order: query.order,
          includeArchived: query.include_archived ?? false,
          ...createdRange(query),
        }),
      ),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/agents/{id}',
      operationId: 'getAgent',
      summary: 'Get an agent, at its newest or a named version',
      tag,
      query: agentGetQuerySchema,
      response: agentSchema,
      problems: ['agent_not_found', 'agent_version_not_found'],
    },
    ({ tenantId, query, param }) => agents.get(tenantId, param('id'), query.version),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/agents/{id}',
      operationId: 'updateAgent',
      summary: 'Change an agent by making a new version',
      tag,
      body: agentUpdateSchema,
      response: agentSchema,
      problems: ['agent_not_found', 'agent_archived', 'agent_version_conflict', ...UNRUNNABLE],
    },
    ({ tenantId, body, param, reservation }) => agents.update(tenantId, param('id'), body, reservation),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/agents/{id}/versions',
      operationId: 'listAgentVersions',
      summary: 'List the versions of an agent, newest first',
      tag,
      query: pageQuerySchema,
      response: pageOf(agentSchema),
      problems: ['agent_not_found', 'cursor_invalid'],
    },
    async ({ tenantId, query, param }) =>
      toPage(await agents.listVersions(tenantId, param('id'), { limit: query.limit, page: query.page, order: 'desc' })),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/agents/{id}/archive',
      operationId: 'archiveAgent',
      summary: 'Archive an agent; its sessions go on',
      tag,
      response: agentSchema,
      problems: ['agent_not_found'],
    },
    ({ tenantId, param }) => agents.archive(tenantId, param('id')),
  );
}
