import type { Clock } from '../../src/base/clock.ts';

export interface ManualClock extends Clock {
  /** Moves time on and runs what falls due, in order of time. */
  advance(ms: number): void;
  /** Timers that have not fallen due or been taken back. */
  pending(): number;
}

interface Timer {
  at: number;
  readonly everyMs: number | undefined;
  readonly run: () => void;
}

/** A clock that stands still until it is moved. */
export function createManualClock(start = Date.UTC(2026, 0, 1)): ManualClock {
  let now = start;
  const timers = new Set<Timer>();
  const add = (timer: Timer): (() => void) => {
    timers.add(timer);
    return () => void timers.delete(timer);
  };
  const nextDue = (until: number) => [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
  return {
    now: () => now,
    monotonic: () => now - start,
    after: (ms, run) => add({ at: now + ms, everyMs: undefined, run }),
    every: (ms, run) => add({ at: now + ms, everyMs: ms, run }),
    advance(ms) {
      const until = now + ms;
      for (let timer = nextDue(until); timer !== undefined; timer = nextDue(until)) {
        now = timer.at;
        if (timer.everyMs === undefined) timers.delete(timer);
        else timer.at += timer.everyMs;
        timer.run();
      }
      now = until;
    },
    pending: () => timers.size,
  };
}
