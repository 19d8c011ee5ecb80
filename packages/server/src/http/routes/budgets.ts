import {
  budgetCreateSchema,
  budgetDeletedSchema,
  budgetListQuerySchema,
  budgetRaiseSchema,
  budgetSchema,
  budgetUpdateSchema,
  pageOf,
} from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'Budgets';
const MISSING = ['budget_not_found'] as const;

export function budgetRoutes(table: RouteTable): void {
  const { budgets } = table.deps.spending;
  route(
    table,
    {
      method: 'post',
      path: '/v1/budgets',
      operationId: 'createBudget',
      summary: 'Create a budget: a hard limit in money for the tenant, an agent or a session',
      tag,
      body: budgetCreateSchema,
      response: budgetSchema,
      problems: ['budget_limit_reached', 'agent_not_found', 'session_not_found', 'capability_unsupported'],
    },
    ({ tenantId, body, reservation }) => budgets.create(tenantId, body, reservation.idFor('budget')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/budgets',
      operationId: 'listBudgets',
      summary: 'List budgets with what is spent, reserved and left, the newest first',
      tag,
      query: budgetListQuerySchema,
      response: pageOf(budgetSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query: { limit, page, scope, subject_id: subjectId } }) =>
      toPage(await budgets.list(tenantId, { limit, page, scope, subjectId, order: 'desc' })),
  );
  oneRoutes(table);
}

function oneRoutes(table: RouteTable): void {
  const { budgets } = table.deps.spending;
  const path = '/v1/budgets/{id}';
  route(
    table,
    { method: 'get', path, operationId: 'getBudget', summary: 'Get a budget', tag, response: budgetSchema, problems: MISSING },
    ({ tenantId, param }) => budgets.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path,
      operationId: 'updateBudget',
      summary: 'Change the limit of a budget',
      tag,
      body: budgetUpdateSchema,
      response: budgetSchema,
      problems: MISSING,
    },
    ({ tenantId, body, param }) => budgets.update(tenantId, param('id'), body.limit),
  );
  route(
    table,
    {
      method: 'post',
      path: `${path}/raise`,
      operationId: 'raiseBudget',
      summary: 'Raise a budget; turns that wait for it go on',
      tag,
      body: budgetRaiseSchema,
      response: budgetSchema,
      problems: MISSING,
    },
    ({ tenantId, body, param, reservation }) => budgets.raise(tenantId, param('id'), body.amount, reservation.idFor('event')),
  );
  route(
    table,
    {
      method: 'delete',
      path,
      operationId: 'deleteBudget',
      summary: 'Delete a budget',
      tag,
      response: budgetDeletedSchema,
      problems: MISSING,
    },
    async ({ tenantId, param }) => {
      await budgets.remove(tenantId, param('id'));
      return { id: param('id'), type: 'budget_deleted' as const };
    },
  );
}
