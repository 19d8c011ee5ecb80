import type { Refusals } from '../../base/refusals.ts';

/** One request that is being worked on. */
export interface Flight {
  /** Counts bytes of its body; throws `overloaded` when all bodies together are too many. */
  addBytes(bytes: number): void;
  /** It is done, or only waits from now on. May be called twice. */
  land(): void;
}

export interface Flights {
  /** Throws `overloaded` when too many are under way, unless it is one that is always answered. */
  begin(options: { readonly isAlwaysAnswered: boolean }): Flight;
  current(): number;
}

const RETRY_AFTER_MS = 1000;

export function createFlights(input: { readonly maxRequests: number; readonly maxBytes: number; readonly refusals: Refusals }): Flights {
  const { maxRequests, maxBytes, refusals } = input;
  let requests = 0;
  let allBytes = 0;
  return {
    begin({ isAlwaysAnswered }) {
      if (requests >= maxRequests && !isAlwaysAnswered)
        throw refusals.refuse('requests', { detail: `${maxRequests} requests are under way already.`, retryAfterMs: RETRY_AFTER_MS });
      requests++;
      let ownBytes = 0;
      let hasLanded = false;
      return {
        addBytes(bytes) {
          if (hasLanded) return;
          if (allBytes + bytes > maxBytes)
            throw refusals.refuse('bodies', {
              detail: 'The bodies of the requests under way fill all the memory that is set aside for them.',
              retryAfterMs: RETRY_AFTER_MS,
            });
          ownBytes += bytes;
          allBytes += bytes;
        },
        land() {
          if (hasLanded) return;
          hasLanded = true;
          requests--;
          allBytes -= ownBytes;
        },
      };
    },
    current: () => requests,
  };
}
