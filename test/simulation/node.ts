import pino from 'pino';
import { newId } from '../../packages/server/src/base/ids.ts';
import type { Logger } from '../../packages/server/src/base/log.ts';
import type { Provider } from '../../packages/server/src/core/model.ts';
import { createHarnessCatalog } from '../../packages/server/src/harness/catalog.ts';
import { OutboxWorker } from '../../packages/server/src/outbox/outbox-worker.ts';
import { createLiveSandboxes } from '../../packages/server/src/sandboxes/live-sandboxes.ts';
import { createEventBus } from '../../packages/server/src/sessions/event-bus.ts';
import { relayRemoteCommits } from '../../packages/server/src/sessions/remote-commits.ts';
import { createSendEvents, type SendEvents } from '../../packages/server/src/sessions/send-events.ts';
import type { NodeMarks } from '../../packages/server/src/system/node-marks.ts';
import { createNodePresence } from '../../packages/server/src/system/node-presence.ts';
import { Dispatcher } from '../../packages/server/src/turns/dispatcher.ts';
import { createWebhookDelivery } from '../../packages/server/src/webhooks/deliver.ts';
import { testSealer } from '../../packages/server/test/support/sealer.ts';
import { HARNESSES, simulatedSandboxes } from './agent.ts';
import { createFaultyStore } from './faulty-store.ts';
import { createNodeClock } from './node-clock.ts';
import { simulatedSend } from './receivers.ts';
import type { Life, World } from './world.ts';

/** The settings of a server, as config.ts has them. */
export const SETTINGS = {
  leaseMs: 30_000,
  heartbeatMs: 10_000,
  sweepMs: 5000,
  retryBaseMs: 5000,
  turnTimeoutMs: 90_000,
  idleMs: 20_000,
  drainMs: 25_000,
  maxQueuedPerSession: 1000,
} as const;

const PROVIDERS: ReadonlySet<Provider> = new Set(['demo']);

/** One server process, put together as main.ts does it, without HTTP and containers. */
export interface VirtualNode {
  readonly life: Life;
  readonly sendEvents: SendEvents;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createVirtualNode(world: World, name: string, wallOffset: number): VirtualNode {
  const life: Life = {
    isDead: false,
    resumesAt: 0,
    name,
    nodeId: newId('node'),
    wallOffset,
    periodic: 0,
    hear: () => undefined,
    hearAdded: () => undefined,
  };
  const { options } = world;
  const { nodeId } = life;
  const { isSoleNode } = options;
  const clock = createNodeClock(world, life);
  const store = createFaultyStore(world, life);
  const log = createNodeLog(world, life);
  const bus = createEventBus(store, { clock, log });
  const parts: { dispatcher?: Dispatcher } = {};
  const live = createLiveSandboxes({
    open: simulatedSandboxes(world, life),
    clock,
    log,
    maxSandboxes: options.slots,
    policyOf: () => ({ pauseMs: undefined, hibernateMs: undefined, stopMs: SETTINGS.idleMs }),
    makeRoom: async () => (await parts.dispatcher?.makeRoom()) ?? false,
    onClosed: isSoleNode
      ? undefined
      : (session) => {
          store.nodes.release({ id: nodeId, ...session }).catch((error: unknown) => log.warn({ err: error }, 'not released'));
        },
  });
  const dispatcher = new Dispatcher({
    ...SETTINGS,
    store,
    clock,
    log,
    live,
    nodeId,
    isSoleNode,
    catalog: createHarnessCatalog(HARNESSES, 'asking'),
    providers: PROVIDERS,
    publishPreview: bus.publishPreview,
    volumeId: 'vol_shared',
    retry: { baseMs: SETTINGS.retryBaseMs, maxAttempts: options.maxTurnAttempts },
    caps: { perTenant: options.perTenant, perAgent: options.perAgent },
    maxConcurrentTurns: options.slots,
  });
  parts.dispatcher = dispatcher;
  const forget = relayRemoteCommits(store, dispatcher);
  const presence = createNodePresence({
    nodes: store.nodes,
    clock,
    log,
    nodeId,
    isSoleNode,
    leaseMs: SETTINGS.leaseMs,
    heartbeatMs: SETTINGS.heartbeatMs,
    marks: simulatedMarks(world, life),
    live,
  });
  const webhook = createWebhookDelivery({
    store,
    clock,
    send: simulatedSend(world, life),
    sealer: testSealer(),
    installation: 'ins_simulated',
  });
  const outbox = new OutboxWorker({ store, clock, log, nodeId, isSoleNode, deliver: { webhook, callback: webhook } });
  const { maxQueuedPerSession } = SETTINGS;
  return {
    life,
    sendEvents: createSendEvents({ store, clock, bus, signal: dispatcher, maxQueuedPerSession }),
    async start() {
      for (const service of [presence, dispatcher, outbox]) await service.start();
    },
    async stop() {
      const stopped = dispatcher.stop();
      await live.discardIdle({ andLater: !isSoleNode });
      await presence.stop();
      await stopped;
      await live.close();
      await outbox.stop();
      forget();
      bus.close();
    },
  };
}

/** What faults explain. */
const EXPECTED = /does not answer|Another worker has taken over/;

/** What the server logs becomes part of the history; what it calls its own fault is one. */
/** All nodes are of one host and one data directory, so each learns who of the others has died. */
function simulatedMarks({ marked }: World, life: Life): NodeMarks {
  return {
    async takeDead() {
      const dead = [...marked].filter(({ isDead }) => isDead);
      for (const one of dead) marked.delete(one);
      return dead.map(({ nodeId }) => nodeId);
    },
    set: async () => void marked.add(life),
    clear: async () => void marked.delete(life),
  };
}

function createNodeLog({ history }: World, life: Life): Logger {
  const write = (line: string) => {
    const { level, msg, err }: { level: number; msg?: string; err?: { message?: string; stack?: string } } = JSON.parse(line);
    history.note(`${life.name} logs: ${msg ?? ''}${err === undefined ? '' : ` (${err.message})`}`);
    if (level >= 50 && !EXPECTED.test(line)) history.violate('no error of our own', `${msg}: ${err?.stack ?? ''}`);
  };
  return pino({ level: 'info', timestamp: false, base: null }, { write });
}
