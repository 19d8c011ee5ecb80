import {
  pageOf,
  sessionCreateSchema,
  sessionDeletedSchema,
  sessionListQuerySchema,
  sessionSchema,
  sessionUpdateSchema,
} from '@cloister/api';
import { boundAgent, requireBoundAgent } from '../access.ts';
import { type RouteTable, route } from '../openapi.ts';
import { createdRange, toBidirectionalPage } from './paging.ts';

const tag = 'Sessions';

export function sessionRoutes(table: RouteTable): void {
  const { sessions } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/sessions',
      operationId: 'createSession',
      summary: 'Create a session',
      tag,
      body: sessionCreateSchema,
      response: sessionSchema,
      problems: [
        'agent_not_found',
        'agent_version_not_found',
        'agent_archived',
        'environment_not_found',
        'environment_archived',
        'capability_unsupported',
        'model_unknown',
        'provider_not_configured',
        'draining',
      ],
    },
    ({ tenantId, principal, body, reservation }) => {
      requireBoundAgent(principal, typeof body.agent === 'string' ? body.agent : body.agent.id);
      return sessions.create(tenantId, body, reservation.idFor('session'));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/sessions',
      operationId: 'listSessions',
      summary: 'List sessions',
      tag,
      query: sessionListQuerySchema,
      response: pageOf(sessionSchema),
      problems: ['cursor_invalid', 'capability_unsupported'],
    },
    async ({ tenantId, principal, query }) =>
      toBidirectionalPage(
        await sessions.list(tenantId, {
          limit: query.limit,
          page: query.page,
          order: query.order,
          includeArchived: query.include_archived ?? false,
          agentId: boundAgent(principal) ?? query.agent_id,
          agentVersion: query.agent_version,
          deploymentId: query.deployment_id,
          memoryStoreId: query.memory_store_id,
          statuses: query['statuses[]'] ?? query.statuses,
          ...createdRange(query),
        }),
      ),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/sessions/{id}',
      operationId: 'getSession',
      summary: 'Get a session',
      tag,
      response: sessionSchema,
      problems: ['session_not_found'],
    },
    ({ tenantId, param }) => sessions.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/sessions/{id}',
      operationId: 'updateSession',
      summary: 'Change title, metadata or tools of a session',
      tag,
      body: sessionUpdateSchema,
      response: sessionSchema,
      problems: ['session_not_found', 'session_archived', 'session_busy', 'capability_unsupported'],
    },
    ({ tenantId, body, param, reservation }) => sessions.update(tenantId, param('id'), body, reservation.idFor('event')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/sessions/{id}/archive',
      operationId: 'archiveSession',
      summary: 'Archive a session: readable, but takes no more events',
      tag,
      response: sessionSchema,
      problems: ['session_not_found', 'session_busy'],
    },
    ({ tenantId, param }) => sessions.archive(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/sessions/{id}',
      operationId: 'deleteSession',
      summary: 'Delete a session with its log and workspace',
      tag,
      response: sessionDeletedSchema,
      problems: ['session_not_found', 'session_busy'],
    },
    async ({ tenantId, param }) => {
      await sessions.remove(tenantId, param('id'));
      return { id: param('id'), type: 'session_deleted' as const };
    },
  );
}
