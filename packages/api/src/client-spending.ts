import type { Json, PageOf, Query, Request } from './client-calls.ts';
import type { Budget, BudgetCreateInput, BudgetUpdate } from './wire/budgets.ts';
import type { Plan, PlanCreate, PlanUpdate, TenantPlan } from './wire/plans.ts';
import type { ModelCall, UsageReport } from './wire/usage.ts';

/** What models cost and what bounds it: the part of the client for usage, budgets and plans. */
export function spendingOf(request: Request, json: Json) {
  const one = (kind: string, id: string) => `/v1/${kind}/${encodeURIComponent(id)}`;
  return {
    usage: {
      /** Sums; `group_by` says by what they are apart, such as `day,model`. */
      report: (query: Query = {}) => json<UsageReport>('GET', '/v1/usage', { query }),
      /** All rows as CSV, to be streamed. */
      csv: (query: Query = {}) => request('GET', '/v1/usage', { query: { ...query, format: 'csv' } }),
      /** Single calls, the newest first. */
      calls: (query: Query = {}) => json<PageOf<ModelCall>>('GET', '/v1/usage/calls', { query }),
    },
    budgets: {
      list: (query: Query = {}) => json<PageOf<Budget>>('GET', '/v1/budgets', { query }),
      get: (id: string) => json<Budget>('GET', one('budgets', id)),
      create: (body: BudgetCreateInput) => json<Budget>('POST', '/v1/budgets', { body }),
      update: (id: string, body: BudgetUpdate) => json<Budget>('POST', one('budgets', id), { body }),
      /** Adds to the limit; turns that wait for it go on. */
      raise: (id: string, amount: number) => json<Budget>('POST', `${one('budgets', id)}/raise`, { body: { amount } }),
      remove: (id: string) => json<{ id: string }>('DELETE', one('budgets', id)),
    },
    plans: {
      list: (query: Query = {}) => json<PageOf<Plan>>('GET', '/v1/plans', { query }),
      get: (id: string) => json<Plan>('GET', one('plans', id)),
      create: (body: PlanCreate) => json<Plan>('POST', '/v1/plans', { body }),
      update: (id: string, body: PlanUpdate) => json<Plan>('POST', one('plans', id), { body }),
      remove: (id: string) => json<{ id: string }>('DELETE', one('plans', id)),
      /** Our own tenant's plan, and what is used of it. */
      own: () => json<TenantPlan>('GET', '/v1/plan'),
      ofTenant: (tenant: string) => json<TenantPlan>('GET', `${one('tenants', tenant)}/plan`),
      assign: (tenant: string, plan: string | null) =>
        json<TenantPlan>('PUT', `${one('tenants', tenant)}/plan`, { body: { plan_id: plan } }),
    },
  };
}
