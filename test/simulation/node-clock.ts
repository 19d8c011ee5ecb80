import type { Clock } from '../../packages/server/src/base/clock.ts';
import { EPOCH, type Life, type World } from './world.ts';

/** The clocks of one process: timers and the monotonic clock follow the virtual time, the wall clock is its host's. */
export function createNodeClock({ scheduler }: World, life: Life): Clock {
  const bornAt = scheduler.now();
  return {
    now: () => Math.floor(EPOCH + scheduler.now() + life.wallOffset),
    monotonic: () => scheduler.now() - bornAt,
    after: (ms, run) => scheduler.schedule(ms, run, life),
    every(ms, run) {
      let cancel: () => void;
      let isEnded = false;
      const arm = () => {
        cancel = scheduler.schedule(
          ms,
          () => {
            run();
            if (!isEnded) arm();
          },
          life,
        );
      };
      life.periodic++;
      arm();
      return () => {
        if (isEnded) return;
        isEnded = true;
        life.periodic--;
        cancel();
      };
    },
  };
}
