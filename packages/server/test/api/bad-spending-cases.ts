import type { Case } from './bad-input-cases.ts';

const body = (value: unknown) => ({ body: value });
const badBudget = (what: string, given: object, pointer: string): Case => ({
  what: `${what} of a budget`,
  send: ['POST', '/v1/budgets', body(given)],
  code: 'request_invalid',
  pointer,
});
const badUsage = (what: string, query: string, pointer: string): Case => ({
  what: `${what} of usage`,
  send: ['GET', `/v1/usage?${query}`],
  code: 'request_invalid',
  pointer,
});

/** What is wrong with requests about usage, budgets and plans. */
export const SPENDING: readonly Case[] = [
  { what: 'a budget', send: ['GET', '/v1/budgets/bud_0'], code: 'budget_not_found' },
  { what: 'a budget to change', send: ['POST', '/v1/budgets/bud_0', body({ limit: 1 })], code: 'budget_not_found' },
  { what: 'a budget to raise', send: ['POST', '/v1/budgets/bud_0/raise', body({ amount: 1 })], code: 'budget_not_found' },
  { what: 'a budget to delete', send: ['DELETE', '/v1/budgets/bud_0'], code: 'budget_not_found' },
  {
    what: 'an agent to bound',
    send: ['POST', '/v1/budgets', body({ scope: 'agent', subject_id: 'agt_0', limit: 1 })],
    code: 'agent_not_found',
  },
  {
    what: 'a session to bound',
    send: ['POST', '/v1/budgets', body({ scope: 'session', subject_id: 'ses_0', limit: 1 })],
    code: 'session_not_found',
  },
  {
    what: 'a schedule to bound',
    send: ['POST', '/v1/budgets', body({ scope: 'schedule', subject_id: 'sch_0', limit: 1 })],
    code: 'capability_unsupported',
    pointer: '/scope',
  },
  badBudget('no limit', { scope: 'tenant' }, '/limit'),
  badBudget('a negative limit', { scope: 'tenant', limit: -1 }, '/limit'),
  badBudget('too fine a limit', { scope: 'tenant', limit: 0.0000001 }, '/limit'),
  badBudget('a limit in words', { scope: 'tenant', limit: '1' }, '/limit'),
  badBudget('an unknown scope', { scope: 'user', limit: 1 }, '/scope'),
  badBudget('an unknown period', { scope: 'tenant', limit: 1, period: 'week' }, '/period'),
  badBudget('no subject', { scope: 'agent', limit: 1 }, '/subject_id'),
  badBudget('a foreign subject', { scope: 'tenant', subject_id: 'other', limit: 1 }, '/subject_id'),
  { what: 'a raise by nothing', send: ['POST', '/v1/budgets/bud_0/raise', body({})], code: 'request_invalid', pointer: '/amount' },
  {
    what: 'a change of the scope',
    send: ['POST', '/v1/budgets/bud_0', body({ scope: 'x', limit: 1 })],
    code: 'request_invalid',
    pointer: '/scope',
  },
  { what: 'a bad cursor of budgets', send: ['GET', '/v1/budgets?page=nonsense'], code: 'cursor_invalid' },
  badUsage('a day that is none', 'from=yesterday', 'from'),
  badUsage('a 13th month', 'to=2026-13-01', 'to'),
  badUsage('an unknown column', 'group_by=day,user', 'group_by.1'),
  badUsage('an unknown format', 'format=xlsx', 'format'),
  badUsage('a limit', 'limit=1001', 'limit'),
  { what: 'a bad cursor of usage', send: ['GET', '/v1/usage?page=nonsense'], code: 'cursor_invalid' },
  { what: 'a bad cursor of calls', send: ['GET', '/v1/usage/calls?page=nonsense'], code: 'cursor_invalid' },
  { what: 'columns of calls', send: ['GET', '/v1/usage/calls?group_by=day'], code: 'request_invalid', pointer: 'group_by' },
  { what: 'a plan', send: ['GET', '/v1/plans/pln_0'], code: 'plan_not_found' },
  { what: 'a plan to change', send: ['POST', '/v1/plans/pln_0', body({ name: 'x' })], code: 'plan_not_found' },
  { what: 'a plan to delete', send: ['DELETE', '/v1/plans/pln_0'], code: 'plan_not_found' },
  { what: 'a plan without limits', send: ['POST', '/v1/plans', body({ name: 'x' })], code: 'request_invalid', pointer: '/limits' },
  {
    what: 'a limit that is none',
    send: ['POST', '/v1/plans', body({ name: 'x', limits: { users: 1 } })],
    code: 'request_invalid',
    pointer: '/limits/users',
  },
  {
    what: 'a negative limit of a plan',
    send: ['POST', '/v1/plans', body({ name: 'x', limits: { agents: -1 } })],
    code: 'request_invalid',
    pointer: '/limits/agents',
  },
  { what: 'a bad cursor of plans', send: ['GET', '/v1/plans?page=nonsense'], code: 'cursor_invalid' },
  { what: 'a tenant with a plan', send: ['GET', '/v1/tenants/tnt_0/plan'], code: 'tenant_not_found' },
  { what: 'a tenant to give a plan', send: ['PUT', '/v1/tenants/tnt_0/plan', body({ plan_id: null })], code: 'tenant_not_found' },
  {
    what: 'a plan of a number',
    send: ['PUT', '/v1/tenants/default/plan', body({ plan_id: 1 })],
    code: 'request_invalid',
    pointer: '/plan_id',
  },
];
