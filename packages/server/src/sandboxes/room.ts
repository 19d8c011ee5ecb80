import { PlatformError } from '../base/errors.ts';

/** Places for so many sandboxes. Who waits for one gets it in the order of coming: no session is passed by for ever. */
export interface Room {
  /** Resolves with a place taken. Throws `capacity_exhausted` when all are in use and none can be freed, and the signal's reason. */
  take(signal: AbortSignal): Promise<void>;
  /** Takes a place at once when nobody waits and so many more are left free; false when not. */
  takeFree(spare: number): boolean;
  give(): void;
}

export interface RoomDeps {
  readonly max: number;
  /** Waits until one of the taken places is given back, and sees to it; false when all are in use. */
  readonly free: () => Promise<boolean>;
}

export function createRoom({ max, free }: RoomDeps): Room {
  const waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  let taken = 0;
  let freeing = 0;

  function handOut(): void {
    while (taken < max) {
      const first = waiting.shift();
      if (first === undefined) return;
      taken++;
      first.resolve();
    }
  }

  /** One place is being freed for each that waits. */
  function freeSome(): void {
    while (freeing < waiting.length) {
      freeing++;
      void freeOne();
    }
  }

  async function freeOne(): Promise<void> {
    try {
      const isFree = await free();
      freeing--;
      if (!isFree && waiting.length > freeing)
        waiting.pop()?.reject(new PlatformError('capacity_exhausted', { detail: `All ${max} sandboxes are in use.` }));
    } catch (error) {
      freeing--;
      waiting.pop()?.reject(error);
    }
    freeSome();
  }

  return {
    async take(signal) {
      signal.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const waiter = { resolve, reject };
      waiting.push(waiter);
      const leave = (): void => {
        const place = waiting.indexOf(waiter);
        if (place < 0) return;
        waiting.splice(place, 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      handOut();
      freeSome();
      try {
        await promise;
      } finally {
        signal.removeEventListener('abort', leave);
      }
    },
    takeFree(spare) {
      if (waiting.length > 0 || taken + spare >= max) return false;
      taken++;
      return true;
    },
    give() {
      taken--;
      handOut();
    },
  };
}
