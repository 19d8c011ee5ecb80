import {
  pageOf,
  planCreateSchema,
  planDeletedSchema,
  planListQuerySchema,
  planSchema,
  planUpdateSchema,
  tenantPlanSchema,
  tenantPlanUpdateSchema,
} from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'Plans';
const MISSING = ['plan_not_found'] as const;

/** All but the look at one's own plan is for who runs the installation; access.ts sees to that. */
export function planRoutes(table: RouteTable): void {
  const { plans } = table.deps.spending;
  route(
    table,
    {
      method: 'post',
      path: '/v1/plans',
      operationId: 'createPlan',
      summary: 'Create a plan: limits for the tenants that have it',
      tag,
      body: planCreateSchema,
      response: planSchema,
    },
    ({ tenantId, body, reservation }) => plans.create(tenantId, body, reservation.idFor('plan')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/plans',
      operationId: 'listPlans',
      summary: 'List plans, the newest first',
      tag,
      query: planListQuerySchema,
      response: pageOf(planSchema),
      problems: ['cursor_invalid'],
    },
    async ({ query: { limit, page } }) => toPage(await plans.list({ limit, page, order: 'desc' })),
  );
  const path = '/v1/plans/{id}';
  route(
    table,
    { method: 'get', path, operationId: 'getPlan', summary: 'Get a plan', tag, response: planSchema, problems: MISSING },
    ({ param }) => plans.get(param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path,
      operationId: 'updatePlan',
      summary: 'Change a plan; it holds at once for every tenant that has it',
      tag,
      body: planUpdateSchema,
      response: planSchema,
      problems: MISSING,
    },
    ({ tenantId, body, param }) => plans.update(tenantId, param('id'), body),
  );
  route(
    table,
    {
      method: 'delete',
      path,
      operationId: 'deletePlan',
      summary: 'Delete a plan that no tenant has',
      tag,
      response: planDeletedSchema,
      problems: [...MISSING, 'plan_in_use'],
    },
    async ({ tenantId, param }) => {
      await plans.remove(tenantId, param('id'));
      return { id: param('id'), type: 'plan_deleted' as const };
    },
  );
  tenantPlanRoutes(table);
}

function tenantPlanRoutes(table: RouteTable): void {
  const { plans } = table.deps.spending;
  route(
    table,
    {
      method: 'get',
      path: '/v1/plan',
      operationId: 'getOwnPlan',
      summary: "Get your tenant's plan and what is used of it",
      tag,
      response: tenantPlanSchema,
    },
    ({ tenantId }) => plans.ofTenant(tenantId),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/tenants/{id}/plan',
      operationId: 'getTenantPlan',
      summary: 'Get the plan of a tenant and what is used of it',
      tag,
      response: tenantPlanSchema,
      problems: ['tenant_not_found'],
    },
    ({ param }) => plans.ofNamedTenant(param('id')),
  );
  route(
    table,
    {
      method: 'put',
      path: '/v1/tenants/{id}/plan',
      operationId: 'setTenantPlan',
      summary: 'Give a tenant a plan, or take it away',
      tag,
      body: tenantPlanUpdateSchema,
      response: tenantPlanSchema,
      problems: ['tenant_not_found', 'plan_not_found'],
    },
    ({ body, param }) => plans.assign(param('id'), body.plan_id),
  );
}
