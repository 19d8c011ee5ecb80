import type { Clock } from './clock.ts';

export interface TokenBuckets {
  /** Takes a token of the key's bucket, if it has one. */
  take(key: string): Take;
  /** Puts back a token that was taken for nothing. */
  giveBack(key: string): void;
  /** How many buckets are kept. */
  size(): number;
}

export interface Take {
  readonly isTaken: boolean;
  /** Whole tokens that are left. */
  readonly left: number;
  /** Until there is a token again; 0 while there is one. */
  readonly waitMs: number;
}

export interface TokenBucketsOptions {
  readonly perSecond: number;
  readonly burst: number;
  /** With more keys than this, the buckets that were not asked for the longest are forgotten. */
  readonly maxKeys: number;
  readonly clock: Clock;
}

/** In thousandths of a token, so that whole rates are counted in whole numbers. */
const TOKEN = 1000;

interface Bucket {
  credit: number;
  at: number;
}

/** Buckets that begin full and fill up steadily. Memory is bounded, whatever the number of keys. */
export function createTokenBuckets({ perSecond, burst, maxKeys, clock }: TokenBucketsOptions): TokenBuckets {
  /** In the order of their last use. */
  const buckets = new Map<string, Bucket>();

  function touch(key: string): Bucket {
    const now = clock.monotonic();
    const bucket = buckets.get(key) ?? { credit: burst * TOKEN, at: now };
    bucket.credit = Math.min(burst * TOKEN, bucket.credit + (now - bucket.at) * perSecond);
    bucket.at = now;
    buckets.delete(key);
    buckets.set(key, bucket);
    if (buckets.size > maxKeys) {
      const [oldest] = buckets.keys();
      if (oldest !== undefined) buckets.delete(oldest);
    }
    return bucket;
  }

  return {
    take(key) {
      const bucket = touch(key);
      const isTaken = bucket.credit >= TOKEN;
      if (isTaken) bucket.credit -= TOKEN;
      const waitMs = bucket.credit >= TOKEN ? 0 : Math.ceil((TOKEN - bucket.credit) / perSecond);
      return { isTaken, left: Math.floor(bucket.credit / TOKEN), waitMs };
    },
    giveBack(key) {
      const bucket = touch(key);
      bucket.credit = Math.min(burst * TOKEN, bucket.credit + TOKEN);
    },
    size: () => buckets.size,
  };
}
