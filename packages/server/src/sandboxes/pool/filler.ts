import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Plan, Wanted } from './plan.ts';
import type { PoolRoom, Stock } from './stock.ts';

export interface FillerDeps {
  readonly stock: Stock;
  readonly plan: Pick<Plan, 'read'>;
  readonly room: PoolRoom;
  readonly backoff: Backoff;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Brings what stands ready to what is wanted, one sandbox after the other. */
export interface Filler {
  /** Looks at once; a wish during a look makes one more after it. */
  look(): void;
  /** Looks in a while. */
  lookAfter(ms: number): void;
  /** Looks every so often until it is stopped. */
  lookEvery(ms: number): void;
  stop(): void;
  /** What the last look found to be wanted. */
  wanted(): Wanted;
  /** Resolves when nothing is being made. */
  settled(): Promise<void>;
}

export function createFiller(deps: FillerDeps): Filler {
  const { clock, log } = deps;
  const timers = new Set<() => void>();
  let isStopped = false;
  let filling: Promise<void> | undefined;
  let isWanted = false;
  let wanted: Wanted = new Map();

  async function fillWhileWanted(): Promise<void> {
    while (isWanted && !isStopped) {
      isWanted = false;
      try {
        wanted = await deps.plan.read(clock.now());
        await fill(deps, wanted, () => isStopped);
      } catch (error) {
        log.warn({ err: error }, 'the warm pool could not be looked after; it is tried again');
      }
    }
    filling = undefined;
  }

  function look(): void {
    isWanted = true;
    if (!isStopped) filling ??= fillWhileWanted();
  }

  return {
    look,
    lookAfter(ms) {
      if (isStopped) return;
      const cancel = clock.after(ms, () => {
        timers.delete(cancel);
        look();
      });
      timers.add(cancel);
    },
    lookEvery: (ms) => void timers.add(clock.every(ms, look)),
    stop() {
      isStopped = true;
      for (const cancel of timers) cancel();
      timers.clear();
    },
    wanted: () => wanted,
    settled: async () => filling,
  };
}

async function fill({ stock, room, backoff }: FillerDeps, wanted: Wanted, isStopped: () => boolean): Promise<void> {
  const left = new Map([...wanted].map(([key, { count }]) => [key, count]));
  for (const entry of stock.entries.values()) {
    if (entry.closing !== undefined || entry.state === 'claimed') continue;
    const count = left.get(entry.key) ?? 0;
    if (count === 0) void stock.drop(entry, 'it is wanted no more');
    else left.set(entry.key, count - 1);
  }
  for (const [key, { template }] of wanted)
    for (let missing = left.get(key) ?? 0; missing > 0; missing--) {
      if (isStopped() || backoff.isWaiting(key)) break;
      if (!room.takeFree()) return;
      await stock.warm(key, template);
      if (!backoff.isWaiting(key)) backoff.forget(key);
    }
}

const BACKOFF_MS = { first: 2000, most: 300_000 } as const;

/** What failed is tried again later and later. */
export interface Backoff {
  failed(key: string): void;
  isWaiting(key: string): boolean;
  forget(key: string): void;
}

export function createBackoff(clock: Clock): Backoff {
  const failures = new Map<string, { readonly count: number; readonly until: number }>();
  return {
    failed(key) {
      const count = (failures.get(key)?.count ?? 0) + 1;
      failures.set(key, { count, until: clock.monotonic() + Math.min(BACKOFF_MS.first * 2 ** (count - 1), BACKOFF_MS.most) });
    },
    isWaiting: (key) => (failures.get(key)?.until ?? Number.NEGATIVE_INFINITY) > clock.monotonic(),
    forget: (key) => void failures.delete(key),
  };
}
