import { fileResourceSchema, pageOf, pageQuerySchema, resourceAddSchema, resourceDeletedSchema, resourceSchema } from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';

const tag = 'Sessions';
const path = '/v1/sessions/{id}/resources';
const MISSING = ['session_not_found', 'resource_not_found'] as const;

export function resourceRoutes(table: RouteTable): void {
  const { resources } = table.deps;
  route(
    table,
    {
      method: 'post',
      path,
      operationId: 'addSessionResource',
      summary: 'Give a session a file; its next turn has it',
      tag,
      body: resourceAddSchema,
      response: fileResourceSchema,
      problems: ['session_not_found', 'session_archived', 'stored_file_not_found', 'path_invalid'],
    },
    ({ tenantId, body, param }) => resources.add({ tenantId, sessionId: param('id') }, body),
  );
  route(
    table,
    {
      method: 'get',
      path,
      operationId: 'listSessionResources',
      summary: 'List what a session was given',
      tag,
      query: pageQuerySchema,
      response: pageOf(resourceSchema),
      problems: ['session_not_found'],
    },
    // There are never more than one page of them.
    async ({ tenantId, param }) => ({ data: await resources.list({ tenantId, sessionId: param('id') }), next_page: null }),
  );
  route(
    table,
    {
      method: 'get',
      path: `${path}/{resource_id}`,
      operationId: 'getSessionResource',
      summary: 'Get a resource of a session',
      tag,
      response: resourceSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => resources.get({ tenantId, sessionId: param('id') }, param('resource_id')),
  );
  route(
    table,
    {
      method: 'delete',
      path: `${path}/{resource_id}`,
      operationId: 'deleteSessionResource',
      summary: 'Take a resource from a session; its next turn no longer has it',
      tag,
      response: resourceDeletedSchema,
      problems: [...MISSING, 'session_archived'],
    },
    async ({ tenantId, param }) => {
      await resources.remove({ tenantId, sessionId: param('id') }, param('resource_id'));
      return { id: param('resource_id'), type: 'session_resource_deleted' as const };
    },
  );
}
