import { type ProblemDefinition, p } from './problem-kinds.ts';

/** What plans and budgets put an end to. Part of the table in `problems.ts`. */
export const PROBLEMS_OF_SPENDING = {
  budget_not_found: p('not_found', 'never', 'There is no such budget.', 'List the budgets at GET /v1/budgets.'),
  budget_limit_reached: p('conflict', 'change', 'There are as many budgets as there may be.', 'Delete one that is no longer needed.'),
  budget_reached: p(
    'forbidden',
    'change',
    'A budget has no room for the next model call, and was not raised.',
    'Raise the budget with `POST /v1/budgets/{id}/raise`, then send the message again.',
  ),
  plan_not_found: p('not_found', 'never', 'There is no such plan.', 'List the plans at GET /v1/plans.'),
  plan_in_use: p('conflict', 'change', 'A tenant has this plan.', 'Give its tenants another plan first.'),
  plan_limit_reached: p(
    'forbidden',
    'change',
    'The plan of this tenant allows no more of that.',
    'Remove what is no longer needed, or ask the operator for a plan that allows more: `PUT /v1/tenants/{id}/plan`.',
  ),
  plan_quota_used_up: p(
    'exhausted',
    'backoff',
    "The plan's share of this period is used up.",
    'Wait until it renews, after the time in Retry-After, or ask the operator for a plan that allows more: `PUT /v1/tenants/{id}/plan`.',
  ),
} as const satisfies Record<string, ProblemDefinition>;
