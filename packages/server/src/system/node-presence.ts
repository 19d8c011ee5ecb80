import { hostname } from 'node:os';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { LiveSandboxes } from '../sandboxes/live-sandboxes.ts';
import type { NodeStore } from '../store/store.ts';
import type { NodeMarks } from './node-marks.ts';

export interface NodePresenceDeps {
  readonly nodes: NodeStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeId: string;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly isSoleNode: boolean;
  readonly marks: NodeMarks;
  readonly live: Pick<LiveSandboxes, 'idle' | 'discardIdle' | 'list'>;
}

/** Keeps this node's row alive, by which the others know that its sandboxes are in good hands. */
export interface NodePresence extends Service {
  /** True for another node that was alive at the last beat. */
  isAliveElsewhere(nodeId: string): boolean;
  /** How long ago this node last said that it is alive; undefined before the first time. */
  beatAgeMs(): number | undefined;
}

export function createNodePresence(deps: NodePresenceDeps): NodePresence {
  const { nodes, clock, log, nodeId, leaseMs, live } = deps;
  let others: ReadonlySet<string> = new Set();
  let cancel: (() => void) | undefined;
  let beatAt: number | undefined;

  async function beat(): Promise<void> {
    const began = clock.monotonic();
    await nodes.beat({ id: nodeId, host: hostname(), leaseMs, isSoleNode: deps.isSoleNode });
    beatAt = began;
    if (deps.isSoleNode) return;
    await discardStrayed();
    await nodes.letGo({ id: nodeId, except: live.list().map(({ sessionId }) => sessionId) });
    others = new Set((await nodes.list()).map(({ id }) => id).filter((id) => id !== nodeId));
  }

  /** A session goes on elsewhere when this node was thought dead for a while, and its sandbox here is then one too many. */
  async function discardStrayed(): Promise<void> {
    const sessions = live.idle();
    if (sessions.length > 0) await live.discardIdle({ only: await nodes.strayed({ id: nodeId, sessions }) });
  }

  /** Those who used this data directory before us and were killed hold their sessions no longer. */
  async function succeed(): Promise<void> {
    if (deps.isSoleNode) return;
    for (const id of await deps.marks.takeDead()) {
      await nodes.bury({ id });
      log.info({ node: id }, 'an earlier server on this data directory is dead; its sessions are taken over');
    }
    await deps.marks.set(nodeId);
  }

  return {
    name: 'node presence',
    isAliveElsewhere: (id) => others.has(id),
    beatAgeMs: () => (beatAt === undefined ? undefined : clock.monotonic() - beatAt),
    async start() {
      if (cancel !== undefined) return;
      await succeed();
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
      await deps.marks.clear();
    },
  };
}
