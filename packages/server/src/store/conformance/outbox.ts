import assert from 'node:assert/strict';
import type { DeliveryRow } from '../store.ts';
import { append, createSession, type Laws, law, newEvent, readPages, readTypes, refuses, T0, TENANT } from './kit.ts';
import {
  again,
  createWebhook,
  dead,
  deliveriesOf,
  dueInMs,
  ENDED,
  fill,
  find,
  leaseDeliveries,
  leaseOne,
  NODE,
  SENT,
  settle,
  typesOf,
  workedSession,
} from './outbox-kit.ts';

export const outboxLaws: Laws = {
  'a write that is refused adds none': law(async (store) => {
    const webhook = await createWebhook(store, { events: [ENDED] });
    const { leased } = await workedSession(store);
    const stale = { ...leased, turn: { ...leased.turn, attempt: 0 } };
    await refuses(append(store, stale, { events: [newEvent('turn.ended')] }), 'lease_lost');
    assert.deepEqual(await typesOf(store, webhook), []);
  }),

  'a delivery is leased once at a time, and again when its lease has run out': law(async (store) => {
    await fill(store, await createWebhook(store), 1);
    const first = await leaseOne(store, 0);
    assert.deepEqual([first.attempt, first.leaseOwner, first.lastAttemptAt], [1, NODE, T0]);
    const second = await leaseOne(store);
    assert.deepEqual([second.id, second.attempt], [first.id, 2]);
    assert.deepEqual(await leaseDeliveries(store), []);
  }),

  'the one node there is takes over what the dead ones held': law(async (store) => {
    await fill(store, await createWebhook(store), 1);
    const held = await leaseOne(store);
    assert.equal(await store.outbox.takeOver({ nodeId: NODE }), 0);
    assert.equal(await store.outbox.takeOver({ nodeId: 'nod_next' }), 1);
    await refuses(settle(store, held, SENT), 'lease_lost');
    const next = await leaseOne(store);
    assert.deepEqual([next.id, next.attempt], [held.id, 2]);
  }),

  'many that lease at once get different deliveries': law(async (store) => {
    for (let index = 0; index < 10; index++) await fill(store, await createWebhook(store), 2);
    const leased = (await Promise.all(Array.from({ length: 30 }, () => leaseDeliveries(store, { limit: 1 })))).flat();
    assert.equal(new Set(leased.map(({ id }) => id)).size, leased.length);
    for (let rest = await leaseDeliveries(store); rest.length > 0; rest = await leaseDeliveries(store)) leased.push(...rest);
    assert.equal(new Set(leased.map(({ id }) => id)).size, 20);
  }),

  'a token that holds no more settles nothing': law(async (store) => {
    const webhook = await createWebhook(store, { events: [ENDED] });
    const { session } = await workedSession(store, 'turn.ended');
    const stale = await leaseOne(store, 0);
    const holder = await leaseOne(store);
    const before = await find(store, holder);
    const log = await readTypes(store, session.id);
    for (const result of [SENT, again(), dead(), { kind: 'returned' } as const]) {
      await refuses(settle(store, stale, result, 'gone'), 'lease_lost');
    }
    assert.deepEqual(await find(store, holder), before);
    assert.deepEqual(await readTypes(store, session.id), log);
    assert.equal((await store.webhooks.find(webhook))?.isEnabled, true);
    await settle(store, holder, SENT);
    assert.equal((await find(store, holder)).state, 'sent');
  }),

  'what is settled stays so': law(async (store) => {
    const webhook = await createWebhook(store);
    await fill(store, webhook, 2);
    for (const [result, state] of [
      [SENT, 'sent'],
      [dead(), 'failed'],
    ] as const) {
      const leased = await leaseOne(store);
      await settle(store, leased, result);
      const ended = await find(store, leased);
      assert.deepEqual([ended.state, ended.dueAt, ended.leaseOwner, ended.endedAt], [state, null, null, T0]);
      await refuses(settle(store, leased, again()), 'lease_lost');
      assert.deepEqual(await find(store, leased), ended);
    }
    assert.deepEqual(await leaseDeliveries(store), []);
    assert.equal(await dueInMs(store), undefined);
  }),

  'a failed attempt is followed by another under the same id, when its time has come': law(async (store) => {
    await fill(store, await createWebhook(store), 1);
    const first = await leaseOne(store);
    await settle(store, first, { kind: 'retry', state: 'unknown', afterMs: 0, status: null, error: 'No answer came.' });
    const unknown = await find(store, first);
    assert.deepEqual([unknown.state, unknown.failures, unknown.lastError, unknown.endedAt], ['unknown', 1, 'No answer came.', null]);
    const second = await leaseOne(store);
    assert.deepEqual([second.id, second.messageId, second.attempt, second.failures], [first.id, first.messageId, 2, 1]);
    await settle(store, second, again(60_000));
    assert.deepEqual(await leaseDeliveries(store), []);
    const wait = (await dueInMs(store)) ?? assert.fail('it waits');
    assert.ok(wait > 50_000 && wait <= 60_000, String(wait));
  }),

  'one that is handed back has not been tried': law(async (store) => {
    await fill(store, await createWebhook(store), 1);
    const first = await leaseOne(store);
    await settle(store, first, { kind: 'returned' });
    const second = await leaseOne(store);
    assert.deepEqual([second.id, second.failures, second.state], [first.id, 0, 'pending']);
  }),

  'asking for it again keeps the id and begins the schedule anew': law(async (store) => {
    const webhook = await createWebhook(store);
    await fill(store, webhook, 1);
    const leased = await leaseOne(store);
    const key = { tenantId: TENANT, targetId: webhook.id, id: leased.id };
    assert.deepEqual(await store.outbox.retry(key), await find(store, leased), 'what is being sent stays as it is');
    await settle(store, leased, dead());
    const retried = await store.outbox.retry(key);
    assert.deepEqual([retried?.id, retried?.messageId, retried?.state, retried?.failures], [leased.id, leased.messageId, 'pending', 0]);
    assert.deepEqual([(await leaseOne(store)).id, retried?.endedAt], [leased.id, null]);
    assert.equal(await store.outbox.retry({ ...key, id: 'dlv_0' }), undefined);
    assert.equal(await store.outbox.retry({ ...key, targetId: 'whk_0' }), undefined);
  }),

  'a failed delivery is reported into its session, and not to the endpoint that failed': law(async (store) => {
    const broken = await createWebhook(store, { events: [ENDED, 'cloister.delivery.failed'] });
    const watching = await createWebhook(store, { events: ['cloister.delivery.failed'] });
    const { session } = await workedSession(store, 'turn.ended');
    const published: string[] = [];
    store.events.onCommit((notices) => published.push(...notices.flatMap(({ types }) => types)));
    await settle(store, await leaseOne(store), dead());
    assert.equal((await readTypes(store, session.id)).at(-1), 'delivery.failed');
    assert.deepEqual(published, ['delivery.failed']);
    assert.deepEqual(await typesOf(store, broken), [ENDED]);
    assert.deepEqual(await typesOf(store, watching), ['cloister.delivery.failed']);
    // A report that fails is a line in the log, and no more: two broken endpoints would never stop.
    await settle(store, await leaseOne(store), dead());
    assert.deepEqual((await readTypes(store, session.id)).slice(-2), ['delivery.failed', 'delivery.failed']);
    assert.equal((await deliveriesOf(store, broken)).length + (await deliveriesOf(store, watching)).length, 2);
  }),

  'a session that is gone takes no report': law(async (store) => {
    await createWebhook(store, { events: ['session.deleted'] });
    const { id } = await createSession(store);
    await store.sessions.remove({ tenantId: TENANT, id, event: newEvent('session.deleted'), now: T0 });
    const leased = await leaseOne(store);
    assert.equal(leased.sessionId, id);
    await settle(store, leased, dead());
    assert.equal((await find(store, leased)).state, 'failed');
  }),

  'those due longest go first, and each target in order': law(async (store) => {
    const [a, b] = [await createWebhook(store), await createWebhook(store)];
    const [a1, a2] = await fill(store, a, 2);
    const late = await leaseOne(store);
    assert.equal(late.id, a1?.id);
    // What is tried again is due from then on, and goes behind what waited meanwhile.
    const [b1] = await fill(store, b, 1);
    await settle(store, late, again(1));
    const order: string[] = [];
    for (let delivery: DeliveryRow | undefined; order.length < 3; ) {
      [delivery] = await leaseDeliveries(store, { limit: 1 });
      if (delivery !== undefined) order.push(delivery.id);
    }
    assert.equal(order.indexOf(a2?.id ?? '') < order.indexOf(late.id), true);
    assert.deepEqual(new Set(order), new Set([late.id, a2?.id, b1?.id]));
  }),

  'a target that is busy is passed by, whatever waits for it': law(async (store) => {
    const slow = await createWebhook(store);
    await fill(store, slow, 50);
    const inFlight = [await leaseOne(store), await leaseOne(store)];
    assert.deepEqual(await leaseDeliveries(store), []);
    assert.equal(await dueInMs(store), undefined, 'nothing can be leased before one of them ends');
    const [other] = await fill(store, await createWebhook(store), 1);
    assert.ok(((await dueInMs(store)) ?? 1) <= 0);
    assert.deepEqual(
      (await leaseDeliveries(store)).map(({ id }) => id),
      [other?.id],
    );
    await settle(store, inFlight[0] ?? assert.fail(), SENT);
    assert.deepEqual(
      (await leaseDeliveries(store)).map(({ targetId }) => targetId),
      [slow.id],
    );
  }),

  'targets can be passed by, and what waits for them is left': law(async (store) => {
    const [a, b] = [await createWebhook(store), await createWebhook(store)];
    for (const webhook of [a, b]) await fill(store, webhook, 1);
    assert.equal(await dueInMs(store, [a.id, b.id]), undefined);
    assert.deepEqual(await leaseDeliveries(store, { except: [a.id, b.id, 'whk_0'] }), []);
    assert.ok(((await dueInMs(store, [a.id])) ?? 1) <= 0);
    const targets = async (except: readonly string[]) => (await leaseDeliveries(store, { except })).map(({ targetId }) => targetId);
    assert.deepEqual(await targets([a.id]), [b.id]);
    assert.deepEqual(await targets([]), [a.id]);
  }),

  'one call leases one of each target, up to the limit': law(async (store) => {
    for (let index = 0; index < 3; index++) await fill(store, await createWebhook(store), 2);
    const leased = await leaseDeliveries(store, { limit: 2 });
    assert.equal(new Set(leased.map(({ targetId }) => targetId)).size, 2);
  }),

  'deliveries are listed by state, counted, and purged when they have ended': law(async (store) => {
    const webhook = await createWebhook(store);
    await fill(store, webhook, 5);
    await settle(store, await leaseOne(store), SENT);
    await settle(store, await leaseOne(store), dead());
    const page = (state?: 'sent' | 'pending') => (paging: { limit: number; page?: string | undefined }) =>
      store.outbox.list({ tenantId: TENANT, targetId: webhook.id, state, order: 'desc', ...paging });
    assert.equal((await readPages(page(), 2)).flat().length, 5);
    assert.deepEqual(
      (await readPages(page('sent'), 2)).flat().map(({ state }) => state),
      ['sent'],
    );
    assert.equal((await readPages(page('pending'), 2)).flat().length, 3);
    assert.deepEqual(await store.outbox.counts(), { pending: 3, unknown: 0, failed: 1 });
    assert.equal(await store.outbox.purge({ endedBefore: T0, limit: 10 }), 0);
    assert.equal(await store.outbox.purge({ endedBefore: T0 + 1, limit: 1 }), 1);
    assert.equal(await store.outbox.purge({ endedBefore: T0 + 1, limit: 10 }), 1);
    assert.equal((await deliveriesOf(store, webhook)).length, 3);
  }),

  'those who wait are told of what was added, and of nothing else': law(async (store) => {
    let told = 0;
    const stop = store.outbox.onAdded(() => {
      told++;
    });
    await createSession(store);
    assert.equal(told, 0, 'nobody is subscribed');
    const webhook = await createWebhook(store, { events: ['session.created'] });
    await createSession(store);
    assert.equal(told, 1);
    stop();
    await fill(store, webhook, 1);
    assert.equal(told, 1);
  }),
};
