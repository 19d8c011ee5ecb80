import { PROBLEMS } from '@cloister/api';
import type { TurnProblem } from './events.ts';

export interface RetryPolicy {
  /** Before the second try; doubles with each. */
  readonly baseMs: number;
  /** All tries counted, the first too. */
  readonly maxAttempts: number;
}

/** A turn is not put off for longer than this, however often it has failed. */
const MAX_DELAY_MS = 3_600_000;

/**
 * How long to wait before the next try; undefined when there is none: the failure would be the same again, or it
 * has been tried often enough. `retries` is how often it was put back already.
 */
export function retryDelay(policy: RetryPolicy, problem: TurnProblem, retries: number): number | undefined {
  if (PROBLEMS[problem.code].retry !== 'backoff' || retries + 1 >= policy.maxAttempts) return undefined;
  return Math.min(policy.baseMs * 2 ** retries, MAX_DELAY_MS);
}

/** The last word on a turn that was tried several times. */
export function exhausted(problem: TurnProblem, retries: number): TurnProblem {
  return retries === 0 ? problem : { ...problem, message: `${problem.message} It was tried ${retries + 1} times.` };
}
