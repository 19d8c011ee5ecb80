import { p } from './problem-kinds.ts';

/** What goes wrong with questions to people. Part of the table in `problems.ts`. */
export const PROBLEMS_OF_APPROVALS = {
  approval_not_found: p('not_found', 'never', 'There is no such approval.', 'List the approvals at GET /v1/approvals.'),
  approval_answered: p(
    'conflict',
    'never',
    'Somebody else has answered already, or nobody did in time.',
    'Look at the approval for who decided what and when; the first answer counts.',
  ),
} as const;
