import { pageOf, tenantCreatedSchema, tenantCreateSchema, tenantListQuerySchema, tenantSchema, tenantUpdateSchema } from '@cloister/api';
import type { FindOrigin } from '../browser.ts';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'Tenants';
const MISSING = ['tenant_not_found'] as const;

/** For who runs the installation alone; access.ts sees to that. */
export function tenantRoutes(table: RouteTable, originOf: FindOrigin): void {
  const { tenants } = table.deps.access;
  route(
    table,
    {
      method: 'post',
      path: '/v1/tenants',
      operationId: 'createTenant',
      summary: 'Create a tenant with a key of its owner',
      tag,
      body: tenantCreateSchema,
      response: tenantCreatedSchema,
      unkept: ['key', 'link'],
      problems: ['tenant_exists'],
    },
    ({ c, principal, body, reservation }) => tenants.create(principal, body, originOf(c).baseUrl, reservation.idFor('tenant')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/tenants',
      operationId: 'listTenants',
      summary: 'List the tenants, the newest first',
      tag,
      query: tenantListQuerySchema,
      response: pageOf(tenantSchema),
      problems: ['cursor_invalid'],
    },
    async ({ query: { limit, page, status } }) => toPage(await tenants.list({ limit, page, state: status, order: 'desc' })),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/tenants/{id}',
      operationId: 'getTenant',
      summary: 'Get a tenant',
      tag,
      response: tenantSchema,
      problems: MISSING,
    },
    ({ param }) => tenants.get(param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/tenants/{id}',
      operationId: 'updateTenant',
      summary: 'Change the name of a tenant',
      tag,
      body: tenantUpdateSchema,
      response: tenantSchema,
      problems: MISSING,
    },
    ({ principal, body, param }) => tenants.update(principal, param('id'), body),
  );
  stateRoutes(table);
}

function stateRoutes(table: RouteTable): void {
  const { tenants } = table.deps.access;
  route(
    table,
    {
      method: 'post',
      path: '/v1/tenants/{id}/suspend',
      operationId: 'suspendTenant',
      summary: 'Shut everybody of a tenant out until it is resumed',
      tag,
      response: tenantSchema,
      problems: [...MISSING, 'tenant_protected'],
    },
    ({ principal, param }) => tenants.suspend(principal, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/tenants/{id}/resume',
      operationId: 'resumeTenant',
      summary: 'Let everybody of a suspended tenant in again',
      tag,
      response: tenantSchema,
      problems: MISSING,
    },
    ({ principal, param }) => tenants.resume(principal, param('id')),
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/tenants/{id}',
      operationId: 'deleteTenant',
      summary: 'Delete a tenant: nobody gets in any more, and everything it has is removed',
      tag,
      status: 202,
      response: tenantSchema,
      problems: [...MISSING, 'tenant_protected'],
    },
    ({ principal, param }) => tenants.remove(principal, param('id')),
  );
}
