import type { ProblemCode } from '@cloister/api';
import { PlatformError } from './errors.ts';

/** Everything that the server turns away although nothing is wrong with it, and the code that says so. */
const CODES = {
  key_rate: 'rate_limited',
  tenant_rate: 'rate_limited',
  failed_keys: 'rate_limited',
  sign_ins: 'rate_limited',
  passwords: 'overloaded',
  tenant_queue: 'capacity_exhausted',
  queue: 'overloaded',
  tenant_streams: 'capacity_exhausted',
  streams: 'overloaded',
  requests: 'overloaded',
  bodies: 'overloaded',
  slow_body: 'body_timeout',
} as const satisfies Record<string, ProblemCode>;

export type RefusalReason = keyof typeof CODES;

/** Counts what is turned away, by reason, for the metrics. */
export interface Refusals {
  refuse(reason: RefusalReason, options: { readonly detail: string; readonly retryAfterMs?: number }): PlatformError;
  counts(): ReadonlyMap<RefusalReason, number>;
}

export function createRefusals(): Refusals {
  const counts = new Map<RefusalReason, number>();
  return {
    refuse(reason, options) {
      counts.set(reason, (counts.get(reason) ?? 0) + 1);
      return new PlatformError(CODES[reason], options);
    },
    counts: () => counts,
  };
}
