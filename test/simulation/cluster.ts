import { createVirtualNode, type VirtualNode } from './node.ts';
import { crash, type Life, type World } from './world.ts';

/** How long a server that was told to stop may take, before it is killed. */
const STOP_LIMIT_MS = 120_000;
const HOUR = 3_600_000;
const JUMPS = [-HOUR, HOUR, 25 * HOUR, -90_000, 90_000] as const;

/** The servers on one store. One that dies or stops comes back later, as another node. */
export interface Cluster {
  /** One that takes connections. */
  any(): VirtualNode | undefined;
  /** Starts what goes wrong by itself: pauses, stops, jumps of clocks. */
  disturb(): void;
  /** From now on all servers run, and keep running. */
  heal(): void;
  /** Stops all, once and for all; false when one of them does not stop. */
  stop(): Promise<boolean>;
  /** Starts one server alone, for what is left to do. */
  startOne(): VirtualNode;
}

interface Slot {
  readonly index: number;
  node: VirtualNode | undefined;
  isReady: boolean;
  generation: number;
  wallOffset: number;
}

export function createCluster(world: World): Cluster {
  const { scheduler, random, history, options } = world;
  const slots = Array.from({ length: options.nodes }, (_, index): Slot => {
    const wallOffset = random.isLucky(0.4) ? random.whole(180_000) - 90_000 : 0;
    return { index, node: undefined, isReady: false, generation: 0, wallOffset };
  });
  let isOver = false;

  function start(slot: Slot): VirtualNode {
    const node = createVirtualNode(world, `n${slot.index + 1}.${slot.generation++}`, slot.wallOffset);
    slot.node = node;
    slot.isReady = false;
    world.lives.add(node.life);
    history.note(`${node.life.name} starts`);
    node.start().then(
      () => {
        slot.isReady = slot.node === node;
      },
      (error: unknown) => crash(world, node.life, `it could not start: ${String(error)}`),
    );
    return node;
  }

  function restartLater(slot: Slot): void {
    slot.node = undefined;
    slot.isReady = false;
    if (!isOver) scheduler.schedule(500 + random.whole(20_000), () => slot.node === undefined && !isOver && void start(slot));
  }

  world.onDeath = (life: Life) => {
    const slot = slots.find(({ node }) => node?.life === life);
    if (slot !== undefined) restartLater(slot);
  };

  async function stopSlot(slot: Slot, node: VirtualNode): Promise<void> {
    history.note(`${node.life.name} is told to stop`);
    const cancel = scheduler.schedule(STOP_LIMIT_MS, () => crash(world, node.life, 'it did not stop in time'));
    await node.stop();
    cancel();
    history.note(`${node.life.name} has stopped`);
    if (node.life.periodic > 0) history.violate('no timer is left', `${node.life.name} leaves ${node.life.periodic} timers behind`);
    if (node.life.isDead) return;
    node.life.isDead = true;
    world.lives.delete(node.life);
    restartLater(slot);
  }

  /** Calls `act` for a server now and then, as long as there are faults. */
  function everyNowAndThen(meanMs: number, act: (slot: Slot, node: VirtualNode) => void): void {
    if (!Number.isFinite(meanMs)) return;
    scheduler.schedule(random.upTo(2 * meanMs), () => {
      if (world.faults !== options.faults) return;
      const slot = slots[random.whole(slots.length)];
      if (slot?.node !== undefined && slot.isReady) act(slot, slot.node);
      everyNowAndThen(meanMs, act);
    });
  }

  for (const slot of slots) scheduler.schedule(random.whole(500), () => void start(slot));

  return {
    any() {
      const ready = slots.filter(({ isReady, node }) => isReady && node !== undefined);
      return ready[random.whole(ready.length)]?.node;
    },
    disturb() {
      const { pauseEveryMs, stopEveryMs, clockJumpEveryMs } = options.faults;
      everyNowAndThen(pauseEveryMs, (_slot, { life }) => {
        const ms = random.isLucky(0.3) ? random.whole(20_000) : 31_000 + random.whole(30_000);
        history.note(`${life.name} stands still for ${ms} ms`);
        life.resumesAt = scheduler.now() + ms;
      });
      everyNowAndThen(stopEveryMs, (slot, node) => void stopSlot(slot, node));
      everyNowAndThen(clockJumpEveryMs, (slot, { life }) => {
        slot.wallOffset = JUMPS[random.whole(JUMPS.length)] ?? 0;
        life.wallOffset = slot.wallOffset;
        history.note(`${life.name}'s clock is ${slot.wallOffset} ms off`);
      });
    },
    heal() {
      for (const slot of slots) {
        if (slot.node === undefined) start(slot);
        else slot.node.life.resumesAt = 0;
      }
    },
    async stop() {
      isOver = true;
      let left = 0;
      for (const slot of slots) {
        const { node } = slot;
        if (node === undefined || node.life.isDead) continue;
        left++;
        void stopSlot(slot, node).then(() => left--);
      }
      return scheduler.runUntil(() => left === 0, STOP_LIMIT_MS - 1);
    },
    startOne() {
      const [slot] = slots;
      if (slot === undefined) throw new Error('a cluster has a server');
      return start(slot);
    },
  };
}
