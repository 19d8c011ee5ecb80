import { apiKeyCreateSchema, apiKeyListQuerySchema, apiKeySchema, apiKeyUpdateSchema, apiKeyWithSecretSchema, pageOf } from '@cloister/api';
import { PlatformError } from '../../base/errors.ts';
import { groupOf } from '../access.ts';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'API keys';
const MISSING = ['api_key_not_found'] as const;

export function apiKeyRoutes(table: RouteTable): void {
  const { keys } = table.deps.access;
  route(
    table,
    {
      method: 'post',
      path: '/v1/api_keys',
      operationId: 'createApiKey',
      summary: 'Create an API key; the answer alone has it',
      tag,
      body: apiKeyCreateSchema,
      response: apiKeyWithSecretSchema,
      unkept: ['key'],
      problems: ['agent_not_found', 'api_key_limit_reached'],
    },
    ({ principal, body, reservation }) => {
      if (body.scope.type === 'routes') requireGroups(table, body.scope.groups);
      return keys.create(principal, body, reservation.idFor('apiKey'));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/api_keys',
      operationId: 'listApiKeys',
      summary: 'List the API keys of the tenant, the newest first',
      tag,
      query: apiKeyListQuerySchema,
      response: pageOf(apiKeySchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query: { limit, page, include_revoked: includeRevoked = false } }) =>
      toPage(await keys.list(tenantId, { limit, page, includeRevoked, order: 'desc' })),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/api_keys/{id}',
      operationId: 'getApiKey',
      summary: 'Get an API key, without the key itself',
      tag,
      response: apiKeySchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => keys.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/api_keys/{id}',
      operationId: 'updateApiKey',
      summary: 'Change the name or the role of an API key',
      tag,
      body: apiKeyUpdateSchema,
      response: apiKeySchema,
      problems: MISSING,
    },
    ({ principal, body, param }) => keys.update(principal, param('id'), body),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/api_keys/{id}/revoke',
      operationId: 'revokeApiKey',
      summary: 'Revoke an API key: within 5 s no server takes it any more, and what it has open is cut',
      tag,
      response: apiKeySchema,
      problems: MISSING,
    },
    ({ principal, param }) => keys.revoke(principal, param('id')),
  );
}

/** Those that some route belongs to; a name with a slip would reach nothing. */
function requireGroups({ methods }: RouteTable, groups: readonly string[]): void {
  const known = new Set([...methods.keys()].map(groupOf).filter((group) => group !== undefined));
  const unknown = groups.findIndex((group) => !known.has(group));
  if (unknown === -1) return;
  throw new PlatformError('request_invalid', {
    detail: `There is no group of routes "${groups[unknown]}"; there are ${[...known].toSorted().join(', ')}.`,
    fields: [{ pointer: `/scope/groups/${unknown}`, message: 'a group of routes' }],
  });
}
