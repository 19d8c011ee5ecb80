import { hostname } from 'node:os';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { NodeStore } from '../store/store.ts';

export interface NodePresenceDeps {
  readonly nodes: NodeStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeId: string;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly isSoleNode: boolean;
  /** This node was thought dead for a while: what it kept for later may have gone on elsewhere. */
  readonly onLapse: () => Promise<void>;
}

/** Keeps this node's row alive, by which the others know that its sandboxes are in good hands. */
export interface NodePresence extends Service {
  /** True for another node that was alive at the last beat. */
  isAliveElsewhere(nodeId: string): boolean;
}

export function createNodePresence(deps: NodePresenceDeps): NodePresence {
  const { nodes, clock, log, nodeId, leaseMs } = deps;
  let aliveUntil = Number.POSITIVE_INFINITY;
  let others: ReadonlySet<string> = new Set();
  let cancel: (() => void) | undefined;

  async function beat(): Promise<void> {
    const began = clock.monotonic();
    await nodes.beat({ id: nodeId, host: hostname(), leaseMs, isSoleNode: deps.isSoleNode });
    if (began >= aliveUntil && !deps.isSoleNode) await deps.onLapse();
    aliveUntil = began + leaseMs;
    others = new Set((await nodes.list()).map(({ id }) => id).filter((id) => id !== nodeId));
  }

  return {
    name: 'node presence',
    isAliveElsewhere: (id) => others.has(id),
    async start() {
      if (cancel !== undefined) return;
      await beat();
      cancel = clock.every(deps.heartbeatMs, () => {
        beat().catch((error: unknown) => log.warn({ err: error }, 'this node could not say that it is alive'));
      });
    },
    async stop() {
      if (cancel === undefined) return;
      cancel();
      cancel = undefined;
      // One that cannot be told is noticed when its time is over.
      await nodes.leave({ id: nodeId }).catch((error: unknown) => log.warn({ err: error }, 'this node could not say that it leaves'));
    },
  };
}
