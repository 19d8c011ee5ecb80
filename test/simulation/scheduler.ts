/** Whatever can be stopped or can stand still: events that are its own wait for it, or die with it. */
export interface Actor {
  readonly isDead: boolean;
  /** Until when it stands still, in virtual time. */
  readonly resumesAt: number;
}

interface Item {
  at: number;
  readonly order: number;
  readonly actor: Actor | undefined;
  readonly run: () => unknown;
  isCancelled: boolean;
}

/**
 * Owns the virtual time. Events run one after the other in the order of their time; after each, everything that
 * follows from it without waiting for time is done before the next begins. So one seed has one history.
 */
export interface Scheduler {
  /** Virtual milliseconds since the beginning; only ever grows. */
  now(): number;
  /** Runs it later, unless its actor is dead by then; waits for what it returns. The returned function takes it back. */
  schedule(afterMs: number, run: () => unknown, actor?: Actor): () => void;
  pause(ms: number, actor?: Actor): Promise<void>;
  /** Runs events until the condition holds; false when `limitMs` of virtual time pass first, or nothing is left to run. */
  runUntil(isDone: () => boolean, limitMs: number): Promise<boolean>;
  /** Lets time pass until no event is left, or for `limitMs`. */
  settle(limitMs: number): Promise<boolean>;
  eventsRun(): number;
}

/** The store's writer commits in an immediate, so by the next one everything that was begun has been answered. */
const drained = () => new Promise<void>((resolve) => void setImmediate(resolve));

export function createScheduler(): Scheduler {
  const heap: Item[] = [];
  let now = 0;
  let order = 0;
  let eventsRun = 0;

  const isBefore = (a: Item, b: Item) => a.at < b.at || (a.at === b.at && a.order < b.order);

  function push(item: Item): void {
    let index = heap.length;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, item)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = item;
  }

  function pop(): Item | undefined {
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let index = 0;
    for (;;) {
      const left = heap[2 * index + 1];
      const right = heap[2 * index + 2];
      const below = left !== undefined && right !== undefined && isBefore(right, left) ? right : left;
      if (below === undefined || isBefore(last, below)) break;
      heap[index] = below;
      index = below === right ? 2 * index + 2 : 2 * index + 1;
    }
    heap[index] = last;
    return top;
  }

  function schedule(afterMs: number, run: () => unknown, actor?: Actor): () => void {
    const item: Item = { at: now + Math.max(0, afterMs), order: order++, actor, run, isCancelled: false };
    push(item);
    return () => {
      item.isCancelled = true;
    };
  }

  /** Runs the next event; false when there is none up to `until`. */
  async function step(until: number): Promise<boolean> {
    for (;;) {
      const item = heap[0];
      if (item === undefined || item.at > until) return false;
      pop();
      if (item.isCancelled || item.actor?.isDead === true) continue;
      if (item.actor !== undefined && item.actor.resumesAt > item.at) {
        item.at = item.actor.resumesAt;
        push(item);
        continue;
      }
      now = item.at;
      eventsRun++;
      await item.run();
      await drained();
      return true;
    }
  }

  async function runUntil(isDone: () => boolean, limitMs: number): Promise<boolean> {
    const until = now + limitMs;
    while (!isDone()) {
      if (await step(until)) continue;
      now = Math.max(now, Math.min(until, heap[0]?.at ?? until));
      return isDone();
    }
    return true;
  }

  return {
    now: () => now,
    schedule,
    pause: (ms, actor) => new Promise((resolve) => void schedule(ms, resolve, actor)),
    runUntil,
    async settle(limitMs) {
      const until = now + limitMs;
      while (await step(until));
      return heap.every(({ isCancelled, actor }) => isCancelled || actor?.isDead === true);
    },
    eventsRun: () => eventsRun,
  };
}
