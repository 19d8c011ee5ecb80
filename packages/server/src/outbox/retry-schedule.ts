import { createHash } from 'node:crypto';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** How long after a failed attempt the next one comes; after the last there is none. The first attempt is at once. */
const WAITS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
export const MAX_ATTEMPTS = WAITS.length + 1;
/** A receiver may ask for more patience than the schedule has, but not for more than this. */
const MAX_WAIT = 24 * HOUR;
/** Spreads what failed together, by up to this part of the wait. */
const JITTER = 0.1;

/**
 * The wait after the nth failure, or undefined when it was the last. The jitter comes from the delivery's
 * id: different for each delivery, the same whoever computes it.
 */
export function waitAfter(
  failures: number,
  delivery: { readonly id: string; readonly retryAfterMs?: number | undefined },
): number | undefined {
  const wait = WAITS[failures - 1];
  if (wait === undefined) return undefined;
  const jittered = Math.round(wait * (1 + JITTER * fraction(`${delivery.id}:${failures}`)));
  return Math.max(jittered, Math.min(delivery.retryAfterMs ?? 0, MAX_WAIT));
}

/** 0 ≤ x < 1, evenly. */
function fraction(seed: string): number {
  return createHash('sha256').update(seed).digest().readUInt32BE(0) / 2 ** 32;
}
