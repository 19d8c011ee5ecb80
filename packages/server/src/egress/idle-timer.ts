import type { Clock } from '../base/clock.ts';

export interface IdleTimer {
  /** Something happened: the wait begins anew. */
  touch(): void;
  stop(): void;
}

/** Calls `onIdle` once when `ms` go by without a touch. A touch is cheap: it moves no timer. */
export function createIdleTimer(clock: Clock, ms: number, onIdle: () => void): IdleTimer {
  let last = clock.monotonic();
  let cancel = clock.after(ms, check);
  function check(): void {
    const left = last + ms - clock.monotonic();
    // A timer may fire a little early by the other clock; a millisecond is not worth another round.
    if (left <= 1) onIdle();
    else cancel = clock.after(Math.ceil(left), check);
  }
  return {
    touch: () => {
      last = clock.monotonic();
    },
    stop: () => cancel(),
  };
}
