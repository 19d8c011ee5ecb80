import type { CommitNotice, Store } from '../../packages/server/src/store/store.ts';
import type { Random } from '../torture/random.ts';
import type { History } from './history.ts';
import type { Monitor } from './monitor.ts';
import { CALM, type FaultRates, type SimulationOptions } from './options.ts';
import type { Actor, Scheduler } from './scheduler.ts';

/** One life of one server process: it begins with a start and ends with a crash or a stop, and the next has another id. */
export interface Life extends Actor {
  isDead: boolean;
  resumesAt: number;
  readonly name: string;
  nodeId: string;
  /** What was set on its host's clock, in ms. */
  wallOffset: number;
  /** Timers that come again and again, by their clock. */
  periodic: number;
  /** Passes what was committed to those who listen in this process. */
  hear(notices: readonly CommitNotice[]): void;
  hearAdded(): void;
}

/** What all parts of one run share. */
export interface World {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly history: History;
  readonly monitor: Monitor;
  readonly options: SimulationOptions;
  /** The one real store; whoever uses it directly sees everything at once. */
  readonly store: Store;
  /** The rates in force: from the end of the faults on, none. */
  faults: FaultRates;
  readonly lives: Set<Life>;
  /** Those whose marks are in the data directory. */
  readonly marked: Set<Life>;
  /** Who commits at this moment. */
  committer: Life | undefined;
  onDeath: (life: Life) => void;
}

/** Where the virtual time begins on every wall clock. */
export const EPOCH = Date.UTC(2026, 0, 1);

export function crash(world: World, life: Life, why: string): void {
  if (life.isDead) return;
  life.isDead = true;
  world.lives.delete(life);
  world.history.note(`${life.name} crashes: ${why}`);
  world.onDeath(life);
}

export function isCalm(world: World): boolean {
  return world.faults === CALM;
}

/** Passes commits on: at once to the server that made them, as notices without content to the others. */
export function carryNotices(world: World): void {
  const { store, scheduler, random } = world;
  store.events.onCommit((notices) => {
    world.monitor.committed(notices);
    const { committer } = world;
    if (committer !== undefined && !committer.isDead) committer.hear(notices);
    for (const life of world.lives) {
      if (life === committer || world.options.isSoleNode) continue;
      if (random.isLucky(world.faults.dropNotice)) continue;
      const delay = random.isLucky(world.faults.lateNotice) ? random.whole(8000) : random.whole(30);
      const remote = notices.map(({ events: _events, ...notice }) => ({ ...notice, isRemote: true }));
      scheduler.schedule(delay, () => life.hear(remote), life);
    }
  });
  store.outbox.onAdded(() => world.committer?.hearAdded());
}
