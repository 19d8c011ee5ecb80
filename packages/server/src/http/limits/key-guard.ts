import type { Clock } from '../../base/clock.ts';
import type { Refusals } from '../../base/refusals.ts';
import { createTokenBuckets } from '../../base/token-buckets.ts';
import type { AppContext } from '../context.ts';

/**
 * Bounds how often one client may present keys that are none. It decides before the key is looked up, and
 * takes the token beforehand, so that tries at the same moment count too. Keys that were right lately pass
 * without: a flood of wrong ones from behind the same address does not lock their owners out.
 */
export interface KeyGuard {
  /** Throws `rate_limited`. */
  begin(c: AppContext, keyHash: string): Attempt;
}

export interface Attempt {
  readonly succeed: () => void;
  readonly fail: () => void;
  /** Nobody knows whether it was right. */
  readonly abandon: () => void;
}

const TRIES = { perSecond: 10 / 60, burst: 20, maxKeys: 10_000 } as const;
const MAX_KNOWN = 10_000;

export function createKeyGuard(input: {
  /** What failed tries are counted by. */
  readonly clientOf: (c: AppContext) => string;
  readonly clock: Clock;
  readonly refusals: Refusals;
}): KeyGuard {
  const tries = createTokenBuckets({ ...TRIES, clock: input.clock });
  /** Hashes of keys that were right when last seen. */
  const known = new Set<string>();
  return {
    begin(c, keyHash) {
      if (known.has(keyHash)) return { succeed: ignore, abandon: ignore, fail: () => void known.delete(keyHash) };
      const client = input.clientOf(c);
      const { isTaken, waitMs } = tries.take(client);
      if (!isTaken)
        throw input.refusals.refuse('failed_keys', {
          detail: 'Too many keys that are not known came from this address.',
          retryAfterMs: waitMs,
        });
      const giveBack = () => tries.giveBack(client);
      return {
        succeed() {
          giveBack();
          known.add(keyHash);
          const [oldest] = known;
          if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
        },
        fail: ignore,
        abandon: giveBack,
      };
    },
  };
}

const ignore = () => undefined;
