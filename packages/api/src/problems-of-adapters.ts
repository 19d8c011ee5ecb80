import { type ProblemDefinition, p } from './problem-kinds.ts';

/** What can go wrong with the APIs of other systems. */
export const PROBLEMS_OF_ADAPTERS = {
  user_session_limit_reached: p(
    'exhausted',
    'change',
    'The user has as many sessions as one may have.',
    'Delete a session that is no longer needed, or raise CLAUDE_AGENT_MAX_SESSIONS_PER_USER.',
  ),
  schedules_missing: p(
    'not_implemented',
    'never',
    'This installation has no schedules yet.',
    'Let a scheduler of your own send the prompt to POST /webhook when it is due.',
  ),
} as const satisfies Record<string, ProblemDefinition>;
