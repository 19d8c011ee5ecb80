import { createHash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { JsonObject } from '../base/json.ts';
import { aadOf, type Sealer } from '../core/sealing.ts';
import type { Store } from '../store/store.ts';

export interface NewCallback {
  readonly tenantId: string;
  /** The turn that is going to be accepted. */
  readonly turnId: string;
  readonly sessionId: string;
  readonly adapter: string;
  readonly url: string;
  /** What it is signed with, as `whsec_…`. */
  readonly secret: string;
  readonly data: JsonObject;
}

/** Use case of callbacks: the answer of one turn is posted when it has ended. */
export interface Callbacks {
  /** Before the turn is sent, so that it cannot end without. */
  add(callback: NewCallback): Promise<void>;
}

export function createCallbacks({
  store,
  clock,
  sealer,
}: {
  readonly store: Store;
  readonly clock: Clock;
  readonly sealer: Sealer;
}): Callbacks {
  return {
    async add({ secret, ...callback }) {
      const { tenantId, turnId, url } = callback;
      // All that goes to one host is one target, so that a slow one holds nobody else up.
      const target = createHash('sha256')
        .update(`${tenantId} ${new URL(url).origin}`)
        .digest('hex')
        .slice(0, 32);
      const sealed = sealer.seal(secret, callbackAad(tenantId, turnId));
      await store.callbacks.add({ ...callback, secret: sealed, targetId: `cbk_${target}`, now: clock.now() });
    },
  };
}

/** What binds a sealed secret to its callback. */
export function callbackAad(tenantId: string, turnId: string): string {
  return aadOf(tenantId, turnId, 'callback');
}
