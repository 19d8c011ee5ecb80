import {
  environmentCreateSchema,
  environmentDeletedSchema,
  environmentListQuerySchema,
  environmentSchema,
  environmentUpdateSchema,
  pageOf,
} from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'Environments';
const REFUSED = ['capability_unsupported', 'network_unrestricted_refused', 'runtime_class_missing', 'mount_refused'] as const;

export function environmentRoutes(table: RouteTable): void {
  const { environments } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/environments',
      operationId: 'createEnvironment',
      summary: 'Create an environment, the template of sandboxes',
      tag,
      body: environmentCreateSchema,
      response: environmentSchema,
      problems: REFUSED,
    },
    ({ tenantId, body, reservation }) => environments.create(tenantId, body, reservation.idFor('environment')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/environments',
      operationId: 'listEnvironments',
      summary: 'List environments',
      tag,
      query: environmentListQuerySchema,
      response: pageOf(environmentSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query }) =>
      toPage(
        await environments.list(tenantId, {
          limit: query.limit,
          page: query.page,
          order: 'desc',
          includeArchived: query.include_archived ?? false,
        }),
      ),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/environments/{id}',
      operationId: 'getEnvironment',
      summary: 'Get an environment',
      tag,
      response: environmentSchema,
      problems: ['environment_not_found'],
    },
    ({ tenantId, param }) => environments.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/environments/{id}',
      operationId: 'updateEnvironment',
      summary: 'Change an environment; sessions made before keep theirs',
      tag,
      body: environmentUpdateSchema,
      response: environmentSchema,
      problems: ['environment_not_found', 'environment_archived', ...REFUSED],
    },
    ({ tenantId, body, param }) => environments.update(tenantId, param('id'), body),
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/environments/{id}',
      operationId: 'deleteEnvironment',
      summary: 'Delete an environment',
      tag,
      response: environmentDeletedSchema,
      problems: ['environment_not_found'],
    },
    async ({ tenantId, param }) => {
      await environments.remove(tenantId, param('id'));
      return { id: param('id'), type: 'environment_deleted' as const };
    },
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/environments/{id}/archive',
      operationId: 'archiveEnvironment',
      summary: 'Archive an environment',
      tag,
      response: environmentSchema,
      problems: ['environment_not_found'],
    },
    ({ tenantId, param }) => environments.archive(tenantId, param('id')),
  );
}
