import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { createManualClock } from '../../test/support/manual-clock.ts';
import { testSealer } from '../../test/support/sealer.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/log.ts';
import { createConnector } from '../egress/connector.ts';
import { createSession, TENANT } from '../store/conformance/kit.ts';
import { createWebhook, deliveriesOf, fill } from '../store/conformance/outbox-kit.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { DeliveryRow, Store } from '../store/store.ts';
import { createWebhookDelivery } from '../webhooks/deliver.ts';
import { createSender } from '../webhooks/send.ts';
import type { Attempt, Deliver } from './deliver.ts';
import { type OutboxLimits, OutboxWorker } from './outbox-worker.ts';
import { MAX_ATTEMPTS } from './retry-schedule.ts';

const SENT: Attempt = { outcome: 'sent', status: 200 };
const DAY = 86_400_000;

interface Setup extends AsyncDisposable {
  readonly store: Store;
  readonly worker: OutboxWorker;
  /** Deliveries as they were handed to the way out. */
  readonly attempted: DeliveryRow[];
}

async function setup(input: { clock?: Clock; deliver?: Deliver; limits?: Partial<OutboxLimits>; isSoleNode?: boolean }): Promise<Setup> {
  const { clock = systemClock, deliver = async () => SENT, limits = {}, isSoleNode = false } = input;
  const store = await openSqliteStore({ file: ':memory:', clock });
  const attempted: DeliveryRow[] = [];
  const webhook: Deliver = (delivery, signal) => {
    attempted.push(delivery);
    return deliver(delivery, signal);
  };
  const worker = new OutboxWorker({
    store,
    clock,
    log: silentLogger,
    nodeId: 'nod_1',
    isSoleNode,
    deliver: { webhook, callback: webhook },
    limits,
  });
  return {
    store,
    worker,
    attempted,
    async [Symbol.asyncDispose]() {
      await worker.stop();
      await store.close();
    },
  };
}

const until = (what: string, condition: () => boolean | Promise<boolean>) => waitFor(condition, { timeoutMs: 5000, what });
const isAborted = (signal: AbortSignal) =>
  new Promise<Attempt>((resolve) => signal.addEventListener('abort', () => resolve({ outcome: 'returned' })));

async function findAll(store: Store, ids: readonly DeliveryRow[]): Promise<readonly (DeliveryRow | undefined)[]> {
  return Promise.all(ids.map(({ tenantId, id }) => store.outbox.find({ tenantId, id })));
}

describe('the outbox worker', () => {
  it('sends what waited, and what comes while it runs, without looking for it by the clock', async () => {
    const clock = createManualClock();
    await using at = await setup({ clock });
    const webhook = await createWebhook(at.store, { events: ['session.created'] });
    await fill(at.store, webhook, 3);
    await at.worker.start();
    await until('three to be sent', () => at.attempted.length === 3);
    await createSession(at.store);
    await until('the fourth', () => at.attempted.length === 4);
    await until('all to be settled', async () => (await deliveriesOf(at.store, webhook)).every(({ state }) => state === 'sent'));
    assert.deepEqual(at.worker.attempts(), { sent: 4, refused: 0, unknown: 0, rejected: 0, returned: 0 });
  });

  it('tries again by the schedule under the same id, and reports the end into the session', async () => {
    const clock = createManualClock();
    const at: number[] = [];
    const deliver: Deliver = async () => {
      at.push(clock.now());
      return { outcome: 'refused', status: 500, error: 'It answered 500.' };
    };
    await using env = await setup({ clock, deliver });
    const webhook = await createWebhook(env.store, { events: ['session.created'] });
    const session = await createSession(env.store, { now: clock.now() });
    const begun = clock.now();
    await env.worker.start();
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      await until(`attempt ${attempt}`, () => at.length === attempt);
      const row = async () => (await deliveriesOf(env.store, webhook))[0];
      await until('its settlement', async () => (await row())?.leaseOwner === null);
      const dueAt = (await row())?.dueAt ?? null;
      if (dueAt === null) break;
      clock.advance(dueAt - clock.now() - 1);
      await until('nothing to be sent early', async () => (await env.store.outbox.dueInMs({ maxPerTarget: 2, except: [] })) === 1);
      assert.equal(at.length, attempt);
      clock.advance(5000);
    }
    assert.equal(at.length, MAX_ATTEMPTS);
    const took = clock.now() - begun;
    assert.ok(took > 3 * DAY && took < 3.6 * DAY, String(took / DAY));
    assert.equal(new Set(env.attempted.map(({ id, messageId }) => `${id} ${messageId}`)).size, 1);
    const [ended] = await deliveriesOf(env.store, webhook);
    assert.deepEqual([ended?.state, ended?.attempt, ended?.lastStatus], ['failed', MAX_ATTEMPTS, 500]);
    const log = await env.store.events.listAfter({ tenantId: TENANT, sessionId: session.id, after: 0, limit: 10 });
    assert.deepEqual(
      log.map(({ type, payload }) => [type, payload.delivery_id, payload.attempts, payload.last_status]),
      [['delivery.failed', ended?.id, MAX_ATTEMPTS, 500]],
    );
  });

  it('keeps to its limits, over all and for each target', async () => {
    await using at = await setup({ deliver: (_delivery, signal) => isAborted(signal), limits: { maxInFlight: 5, maxPerTarget: 2 } });
    const webhooks = await Promise.all(Array.from({ length: 4 }, () => createWebhook(at.store)));
    for (const webhook of webhooks) await fill(at.store, webhook, 3);
    await at.worker.start();
    await until('five in flight', () => at.attempted.length === 5);
    const byTarget = Map.groupBy(at.attempted, ({ targetId }) => targetId);
    assert.ok([...byTarget.values()].every((own) => own.length <= 2));
    assert.equal(byTarget.size, 4);
  });

  it('hands back what it was sending when it is stopped', async () => {
    await using at = await setup({ deliver: (_delivery, signal) => isAborted(signal) });
    const added = await fill(at.store, await createWebhook(at.store), 2);
    await at.worker.start();
    await until('both in flight', () => at.attempted.length === 2);
    await Promise.all([at.worker.stop(), at.worker.stop()]);
    for (const row of await findAll(at.store, added)) assert.deepEqual([row?.state, row?.leaseOwner, row?.failures], ['pending', null, 0]);
    assert.ok(((await at.store.outbox.dueInMs({ maxPerTarget: 2, except: [] })) ?? 1) <= 0);
  });

  it('takes up what a dead worker held, when its lease has run out', async () => {
    const clock = createManualClock();
    await using at = await setup({ clock });
    const [added] = await fill(at.store, await createWebhook(at.store), 1);
    const [held] = await at.store.outbox.lease({
      nodeId: 'nod_dead',
      leaseMs: 30_000,
      limit: 1,
      maxPerTarget: 2,
      except: [],
      now: clock.now(),
    });
    assert.equal(held?.id, added?.id);
    await at.worker.start();
    clock.advance(29_000);
    await until('a look', async () => (await at.store.outbox.dueInMs({ maxPerTarget: 2, except: [] })) === 1000);
    assert.equal(at.attempted.length, 0);
    // The worker looks at a time of its own: it may have to be woken twice.
    await until('the second attempt', () => {
      clock.advance(1000);
      return at.attempted.length > 0;
    });
    assert.deepEqual([at.attempted[0]?.id, at.attempted[0]?.attempt], [added?.id, 2]);
  });

  it('does not wait for leases of the dead when it is the only one', async () => {
    await using at = await setup({ clock: createManualClock(), isSoleNode: true });
    const [added] = await fill(at.store, await createWebhook(at.store), 1);
    await at.store.outbox.lease({ nodeId: 'nod_dead', leaseMs: 30_000, limit: 1, maxPerTarget: 2, except: [], now: 0 });
    await at.worker.start();
    await until('the second attempt', () => at.attempted.length > 0);
    assert.deepEqual([at.attempted[0]?.id, at.attempted[0]?.attempt], [added?.id, 2]);
  });

  it('survives a way out that throws, and tries again', async () => {
    await using at = await setup({
      deliver: async () => {
        throw new Error('a bug');
      },
    });
    const [added] = await fill(at.store, await createWebhook(at.store), 1);
    await at.worker.start();
    await until('the attempt to be settled', async () => (await findAll(at.store, added ? [added] : []))[0]?.failures === 1);
    assert.equal((await findAll(at.store, added ? [added] : []))[0]?.state, 'pending');
  });

  it('leaves room for the others when many endpoints are slow', async () => {
    const clock = createManualClock();
    const stuck: (() => void)[] = [];
    const slowIds = new Set<string>();
    const deliver: Deliver = ({ targetId }, signal) => {
      if (!slowIds.has(targetId)) return Promise.resolve(SENT);
      const released = new Promise<Attempt>((resolve) => stuck.push(() => resolve({ outcome: 'unknown', error: 'No answer.' })));
      return Promise.race([released, isAborted(signal)]);
    };
    await using at = await setup({ clock, deliver });
    for (let index = 0; index < 10; index++) {
      const webhook = await createWebhook(at.store);
      slowIds.add(webhook.id);
      await fill(at.store, webhook, 10);
    }
    await at.worker.start();
    await until('all room to be taken', () => stuck.length === 16);
    clock.advance(2000);
    for (const release of stuck.splice(0)) release();
    await until('half of the room to be taken again', () => stuck.length === 8);
    const added = await fill(at.store, await createWebhook(at.store), 20);
    await until('all of the quick one', async () => (await findAll(at.store, added)).every((row) => row?.state === 'sent'));
    assert.equal(stuck.length, 8);
    // One that is quick again is as free as any other.
    slowIds.clear();
    for (const release of stuck.splice(0)) release();
    await until('the backlog of the others', () => at.attempted.length >= 100 && stuck.length === 0);
  });

  it('lets no slow endpoint delay another', async () => {
    await using receivers = await startReceivers();
    const store = await openSqliteStore({ file: ':memory:', clock: systemClock });
    const clock = systemClock;
    const connect = createConnector({ clock, timeoutMs: 15_000, allowPrivateNetwork: true });
    const send = createSender({ connect, clock, timeoutMs: 15_000 });
    const webhook = createWebhookDelivery({ store, clock, send, sealer: testSealer(), installation: 'ins_1' });
    const deliver = { webhook, callback: webhook };
    const worker = new OutboxWorker({ store, clock, log: silentLogger, nodeId: 'nod_1', isSoleNode: true, deliver });
    try {
      const slow = await createWebhook(store);
      const fast = await createWebhook(store);
      await store.webhooks.update({ tenantId: TENANT, id: slow.id, url: receivers.tarpit, now: 0 });
      await store.webhooks.update({ tenantId: TENANT, id: fast.id, url: receivers.fast, now: 0 });
      await fill(store, slow, 500);
      await worker.start();
      await until('the slow one to be busy', () => receivers.stuck() === 2);
      for (let round = 1; round <= 5; round++) {
        const started = performance.now();
        const [added] = await fill(store, fast, 1);
        await until('the other to get its own', () => receivers.arrived().includes(added?.messageId ?? ''));
        assert.ok(performance.now() - started < 1000);
      }
      assert.equal(receivers.stuck(), 2);
    } finally {
      await worker.stop();
      await store.close();
    }
  });
});

/** One that takes connections and says nothing, and one that answers at once. */
async function startReceivers() {
  const stuck = new Set<Socket>();
  const arrived: string[] = [];
  const tarpit = createServer((socket) => void stuck.add(socket.on('error', () => undefined))).listen(0, '127.0.0.1');
  const fast = createHttpServer((request, response) => {
    arrived.push(String(request.headers['webhook-id']));
    response.end();
  }).listen(0, '127.0.0.1');
  await Promise.all([once(tarpit, 'listening'), once(fast, 'listening')]);
  const urlOf = (server: typeof tarpit) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    tarpit: urlOf(tarpit),
    fast: urlOf(fast),
    stuck: () => stuck.size,
    arrived: () => arrived,
    async [Symbol.asyncDispose]() {
      for (const socket of stuck) socket.destroy();
      fast.closeAllConnections();
      await Promise.all([tarpit, fast].map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}
