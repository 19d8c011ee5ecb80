import { type ProblemDefinition, p } from './problem-kinds.ts';

/** What can go wrong with the APIs of other systems. */
export const PROBLEMS_OF_ADAPTERS = {
  user_session_limit_reached: p(
    'exhausted',
    'change',
    'The user has as many sessions as one may have.',
    'Delete a session that is no longer needed, or raise CLAUDE_AGENT_MAX_SESSIONS_PER_USER.',
  ),
  approval_awaited: p(
    'conflict',
    'change',
    "The agent waits for a person's answer to a tool call.",
    'Answer it in the dashboard or with POST /v1/sessions/{id}/events; the turn then goes on by itself.',
  ),
  callback_refused: p(
    'unprocessable',
    'change',
    'There is no key to sign the callback with.',
    'Send the request with an API key, or leave `callback_url` out.',
  ),
  cron_invalid: p(
    'invalid',
    'change',
    'The schedule is not a cron expression.',
    'Give five fields: minute, hour, day of month, month and day of week, such as `0 9 * * 1-5`.',
  ),
  task_not_found: p('not_found', 'never', 'Task not found', 'List the tasks at GET /tasks/{user}.'),
  schedules_missing: p(
    'not_implemented',
    'never',
    'This installation has no schedules yet.',
    'Let a scheduler of your own send the prompt to POST /webhook when it is due.',
  ),
} as const satisfies Record<string, ProblemDefinition>;
