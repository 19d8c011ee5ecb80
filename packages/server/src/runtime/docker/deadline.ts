import type { Clock } from '../../base/clock.ts';

/** One signal out of a caller's signal and a time limit, that tells afterwards which of them it was. */
export interface Deadline {
  readonly signal: AbortSignal;
  isExpired(): boolean;
  /** Ends the time limit and stops listening to the caller's signal. */
  clear(): void;
}

export function createDeadline(clock: Clock, ms: number | undefined, ...outer: readonly (AbortSignal | undefined)[]): Deadline {
  const controller = new AbortController();
  let isExpired = false;
  const cancel =
    ms === undefined
      ? undefined
      : clock.after(ms, () => {
          isExpired = true;
          controller.abort();
        });
  const undo = outer.map((signal) => {
    const onAbort = () => controller.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    return () => signal?.removeEventListener('abort', onAbort);
  });
  return {
    signal: controller.signal,
    isExpired: () => isExpired,
    clear() {
      cancel?.();
      for (const run of undo) run();
    },
  };
}

/** Follows the promise until the signal is aborted; the promise itself goes on. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
