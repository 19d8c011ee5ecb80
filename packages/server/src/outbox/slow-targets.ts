import type { Clock } from '../base/clock.ts';

/** Which targets take long, as far as this process has seen. */
export interface SlowTargets {
  /** An attempt begins; the returned function says that it has ended. */
  begin(targetId: string): () => void;
  has(targetId: string): boolean;
  isEmpty(): boolean;
  all(): readonly string[];
}

/** Beyond this many the one found out first is forgotten, and found out again. */
const MAX_KNOWN = 10_000;

/** A target is slow from the moment that one of its attempts takes longer than `slowMs`, until one is quick. */
export function createSlowTargets(clock: Clock, slowMs: number): SlowTargets {
  const slow = new Set<string>();
  const add = (targetId: string) => {
    slow.add(targetId);
    const [first] = slow;
    if (slow.size > MAX_KNOWN && first !== undefined) slow.delete(first);
  };
  return {
    begin(targetId) {
      let isQuick = true;
      const cancel = clock.after(slowMs, () => {
        isQuick = false;
        add(targetId);
      });
      return () => {
        cancel();
        if (isQuick) slow.delete(targetId);
      };
    },
    has: (targetId) => slow.has(targetId),
    isEmpty: () => slow.size === 0,
    all: () => [...slow],
  };
}
