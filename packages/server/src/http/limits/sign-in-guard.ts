import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { Refusals } from '../../base/refusals.ts';
import { createTokenBuckets } from '../../base/token-buckets.ts';
import type { AppContext } from '../context.ts';

/** Bounds how often one client, and everybody together for one person, may try to sign in; decided before anything is looked up. */
export interface SignInGuard {
  /** Throws `rate_limited`. What it returns says that the try was right, and does not count. */
  begin(c: AppContext, account: string): () => void;
}

const PER_CLIENT = { perSecond: 10 / 60, burst: 10, maxKeys: 10_000 } as const;
/** Whoever tries from many places is slowed down too; the person whose name they use waits for a minute at most. */
const PER_ACCOUNT = { perSecond: 5 / 60, burst: 15, maxKeys: 10_000 } as const;

export function createSignInGuard(input: {
  readonly clientOf: (c: AppContext) => string;
  readonly clock: Clock;
  readonly refusals: Refusals;
}): SignInGuard {
  const clients = createTokenBuckets({ ...PER_CLIENT, clock: input.clock });
  const accounts = createTokenBuckets({ ...PER_ACCOUNT, clock: input.clock });
  return {
    begin(c, account) {
      const client = input.clientOf(c);
      const name = createHash('sha256').update(account).digest('base64url');
      const takes = [clients.take(client), accounts.take(name)];
      if (takes.some(({ isTaken }) => !isTaken))
        throw input.refusals.refuse('sign_ins', {
          detail: 'Too many tries to sign in.',
          retryAfterMs: Math.max(...takes.map(({ waitMs }) => waitMs)),
        });
      return () => {
        clients.giveBack(client);
        accounts.giveBack(name);
      };
    },
  };
}
