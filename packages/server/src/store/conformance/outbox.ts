import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import { type DeliveryResult, type DeliveryRow, FAILING_LIMIT_MS, type Store, type TargetHealth, type WebhookRow } from '../store.ts';
import { append, createSession, type Laws, law, lease, newEvent, queue, readPages, readTypes, refuses, T0, TENANT } from './kit.ts';

const NODE = 'nod_outbox';
const LEASE_MS = 30_000;
const ENDED = 'cloister.turn.ended';
const STARTED = 'session.status_run_started';

export async function createWebhook(
  store: Store,
  input: { tenantId?: string; events?: readonly string[]; max?: number } = {},
): Promise<WebhookRow> {
  return store.webhooks.create({
    id: newId('webhook'),
    tenantId: input.tenantId ?? TENANT,
    url: 'https://example.com/hook',
    events: input.events ?? ['*'],
    description: null,
    metadata: {},
    secret: 'whsec_AAAA',
    max: input.max ?? 100,
    now: T0,
  });
}

/** Adds `count` deliveries to the webhook, whatever it is subscribed to. */
export async function fill(store: Store, webhook: WebhookRow, count: number): Promise<readonly DeliveryRow[]> {
  const added: DeliveryRow[] = [];
  for (let index = 0; index < count; index++) {
    const { tenantId, id: targetId } = webhook;
    added.push(
      await store.outbox.add({
        tenantId,
        kind: 'webhook',
        targetId,
        messageId: newId('event'),
        eventType: 'webhook.test',
        data: { index },
      }),
    );
  }
  return added;
}

async function leaseDeliveries(
  store: Store,
  input: { limit?: number; maxPerTarget?: number; leaseMs?: number } = {},
): Promise<readonly DeliveryRow[]> {
  const { limit = 100, maxPerTarget = 2, leaseMs = LEASE_MS } = input;
  return store.outbox.lease({ nodeId: NODE, leaseMs, limit, maxPerTarget, now: T0 });
}

async function leaseOne(store: Store, leaseMs = LEASE_MS): Promise<DeliveryRow> {
  const [one] = await leaseDeliveries(store, { limit: 1, leaseMs });
  return one ?? assert.fail('a delivery is due');
}

async function settle(store: Store, { id, attempt }: DeliveryRow, result: DeliveryResult, health: TargetHealth = 'none', now = T0) {
  await store.outbox.settle({ id, attempt, result, health, now });
}

const again = (afterMs = 0): DeliveryResult => ({ kind: 'retry', state: 'pending', afterMs, status: 500, error: 'It answered 500.' });
const dead = (): DeliveryResult => ({ kind: 'failed', status: 410, error: 'It answered 410.', report: newEvent('delivery.failed') });
const SENT: DeliveryResult = { kind: 'sent', status: 204 };

async function find(store: Store, { id, tenantId }: { readonly id: string; readonly tenantId: string }): Promise<DeliveryRow> {
  return (await store.outbox.find({ tenantId, id })) ?? assert.fail('the delivery exists');
}

async function deliveriesOf(store: Store, { tenantId, id: targetId }: WebhookRow): Promise<readonly DeliveryRow[]> {
  return (await store.outbox.list({ tenantId, targetId, limit: 1000, order: 'asc' })).data;
}

async function typesOf(store: Store, webhook: WebhookRow): Promise<readonly string[]> {
  return (await deliveriesOf(store, webhook)).map((one) => one.eventType);
}

/** A session whose turn has begun and put one more event into the log. */
async function workedSession(store: Store, ...types: readonly string[]) {
  const session = await createSession(store);
  await queue(store, session.id);
  const leased = await lease(store);
  const events = types.map((type) => newEvent(type, { outcome: 'completed', event_id: 'evt_asked' }));
  await append(store, leased, { events });
  return { session, leased, events };
}

export const outboxLaws: Laws = {
  'a delivery comes with its event, to those who asked for the type': law(async (store) => {
    const [all, ended, other] = [
      await createWebhook(store),
      await createWebhook(store, { events: [ENDED] }),
      await createWebhook(store, { events: ['session.archived'] }),
    ];
    const { session, leased, events } = await workedSession(store, 'agent.message', 'turn.ended');
    assert.deepEqual(await typesOf(store, all), ['session.created', STARTED, ENDED]);
    assert.deepEqual(await typesOf(store, other), []);
    const [one, ...rest] = await deliveriesOf(store, ended);
    assert.deepEqual(rest, []);
    assert.deepEqual(
      [one?.messageId, one?.eventType, one?.sessionId, one?.state, one?.attempt, one?.failures, one?.leaseOwner],
      [events[1]?.id, ENDED, session.id, 'pending', 0, 0, null],
    );
    assert.deepEqual(one?.data, {
      id: leased.turn.id,
      session_id: session.id,
      turn_id: leased.turn.id,
      seq: 4,
      outcome: 'completed',
      stop_reason: null,
      error_code: null,
      event_id: 'evt_asked',
    });
  }),

  'a write that is refused adds none': law(async (store) => {
    const webhook = await createWebhook(store, { events: [ENDED] });
    const { leased } = await workedSession(store);
    const stale = { ...leased, turn: { ...leased.turn, attempt: 0 } };
    await refuses(append(store, stale, { events: [newEvent('turn.ended')] }), 'lease_lost');
    assert.deepEqual(await typesOf(store, webhook), []);
  }),

  'what has no place in a log is told too': law(async (store) => {
    const webhook = await createWebhook(store);
    const [agent, environment] = [newId('agent'), newId('environment')];
    await store.agents.create({ id: agent, tenantId: TENANT, definition: {}, now: T0 });
    await store.agents.addVersion({ id: agent, tenantId: TENANT, definition: {}, now: T0 });
    for (let times = 0; times < 2; times++) await store.agents.archive({ id: agent, tenantId: TENANT, now: T0 });
    await store.environments.create({ id: environment, tenantId: TENANT, definition: {}, now: T0 });
    await store.environments.update({ id: environment, tenantId: TENANT, definition: {}, now: T0 });
    for (let times = 0; times < 2; times++) await store.environments.archive({ id: environment, tenantId: TENANT, now: T0 });
    await store.environments.remove({ id: environment, tenantId: TENANT });
    const { id } = await createSession(store);
    for (let times = 0; times < 2; times++) await store.sessions.archive({ tenantId: TENANT, id, now: T0 });
    await store.sessions.remove({ tenantId: TENANT, id, event: newEvent('session.deleted'), now: T0 });
    assert.deepEqual(await typesOf(store, webhook), [
      'agent.created',
      'agent.updated',
      'agent.archived',
      'environment.created',
      'environment.updated',
      'environment.archived',
      'environment.deleted',
      'session.created',
      'session.archived',
      'session.deleted',
    ]);
  }),

  'another tenant hears nothing and finds nothing': law(async (store) => {
    const theirs = await createWebhook(store, { tenantId: 'other' });
    const own = await createWebhook(store);
    await workedSession(store, 'turn.ended');
    assert.deepEqual(await deliveriesOf(store, theirs), []);
    const [one] = await deliveriesOf(store, own);
    assert(one !== undefined);
    assert.equal(await store.outbox.find({ tenantId: 'other', id: one.id }), undefined);
    assert.equal(await store.outbox.retry({ tenantId: 'other', targetId: own.id, id: one.id }), undefined);
    assert.deepEqual(await deliveriesOf(store, { ...own, tenantId: 'other' }), []);
    assert.equal(await store.webhooks.find({ tenantId: 'other', id: own.id }), undefined);
    assert.equal(await store.webhooks.remove({ tenantId: 'other', id: own.id }), false);
    await refuses(store.webhooks.update({ tenantId: 'other', id: own.id, url: 'https://x.example', now: T0 }), 'webhook_not_found');
    await refuses(store.webhooks.rotate({ tenantId: 'other', id: own.id, secret: 's', keepUntil: T0, now: T0 }), 'webhook_not_found');
    assert.equal((await store.webhooks.find({ tenantId: TENANT, id: own.id }))?.url, own.url);
  }),

  'a delivery is leased once at a time, and again when its lease has run out': law(async (store) => {
    await fill(store, await createWebhook(store), 1);
    const first = await leaseOne(store, 0);
    assert.deepEqual([first.attempt, first.leaseOwner, first.lastAttemptAt], [1, NODE, T0]);
    const second = await leaseOne(store);
    assert.deepEqual([second.id, second.attempt], [first.id, 2]);
    assert.deepEqual(await leaseDeliveries(store), []);
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
    assert.equal(await store.outbox.dueInMs({ maxPerTarget: 2 }), undefined);
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
    const wait = (await store.outbox.dueInMs({ maxPerTarget: 2 })) ?? assert.fail('it waits');
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
    assert.equal(await store.outbox.dueInMs({ maxPerTarget: 2 }), undefined, 'nothing can be leased before one of them ends');
    const [other] = await fill(store, await createWebhook(store), 1);
    assert.ok(((await store.outbox.dueInMs({ maxPerTarget: 2 })) ?? 1) <= 0);
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

  'one call leases one of each target, up to the limit': law(async (store) => {
    for (let index = 0; index < 3; index++) await fill(store, await createWebhook(store), 2);
    const leased = await leaseDeliveries(store, { limit: 2 });
    assert.equal(new Set(leased.map(({ targetId }) => targetId)).size, 2);
  }),

  'a disabled endpoint gets nothing more, until it is enabled': law(async (store) => {
    const webhook = await createWebhook(store);
    await fill(store, webhook, 1);
    await settle(store, await leaseOne(store), dead(), 'gone');
    const disabled = await store.webhooks.find(webhook);
    assert.deepEqual([disabled?.isEnabled, disabled?.disabledReason], [false, 'gone']);
    await createSession(store);
    assert.equal((await deliveriesOf(store, webhook)).length, 1);
    const enabled = await store.webhooks.update({ tenantId: TENANT, id: webhook.id, isEnabled: true, now: T0 });
    assert.deepEqual([enabled.isEnabled, enabled.disabledReason, enabled.failingSince], [true, null, null]);
    await createSession(store);
    assert.equal((await deliveriesOf(store, webhook)).length, 2);
    const stopped = await store.webhooks.update({ tenantId: TENANT, id: webhook.id, isEnabled: false, now: T0 });
    assert.equal(stopped.disabledReason, 'request');
  }),

  'an endpoint that only fails is disabled in the end, and one that works is not': law(async (store) => {
    const webhook = await createWebhook(store);
    await fill(store, webhook, 1);
    const fail = async (now: number) => settle(store, await leaseOne(store), again(), 'bad', now);
    const state = async () => {
      const row = (await store.webhooks.find(webhook)) ?? assert.fail();
      return [row.isEnabled, row.disabledReason, row.failingSince];
    };
    await fail(T0);
    await fail(T0 + FAILING_LIMIT_MS - 1);
    assert.deepEqual(await state(), [true, null, T0]);
    await settle(store, await leaseOne(store), SENT, 'good', T0 + FAILING_LIMIT_MS);
    assert.deepEqual(await state(), [true, null, null]);
    await fill(store, webhook, 1);
    await fail(T0);
    await fail(T0 + FAILING_LIMIT_MS);
    assert.deepEqual(await state(), [false, 'failing', T0]);
  }),

  'an endpoint goes with its deliveries': law(async (store) => {
    const webhook = await createWebhook(store);
    await fill(store, webhook, 3);
    const leased = await leaseOne(store);
    assert.equal(await store.webhooks.remove(webhook), true);
    assert.equal(await store.webhooks.remove(webhook), false);
    assert.deepEqual(await leaseDeliveries(store), []);
    await refuses(settle(store, leased, SENT), 'lease_lost');
    await createSession(store);
    assert.deepEqual(await deliveriesOf(store, webhook), []);
  }),

  'endpoints are counted, changed and listed by tenant': law(async (store) => {
    const created = [];
    for (let index = 0; index < 5; index++) created.push((await createWebhook(store, { max: 5 })).id);
    await refuses(createWebhook(store, { max: 5 }), 'webhook_limit_reached');
    await createWebhook(store, { tenantId: 'other', max: 5 });
    const pages = await readPages((page) => store.webhooks.list({ tenantId: TENANT, order: 'asc', ...page }), 2);
    assert.deepEqual(
      pages
        .flat()
        .map(({ id }) => id)
        .sort(),
      [...created].sort(),
    );
    const [id = ''] = created;
    const changed = await store.webhooks.update({
      tenantId: TENANT,
      id,
      url: 'https://other.example/',
      events: [STARTED],
      description: 'mine',
      metadata: { a: 'b' },
      now: T0 + 1,
    });
    assert.deepEqual(
      [changed.url, changed.events, changed.description, changed.metadata, changed.updatedAt],
      ['https://other.example/', [STARTED], 'mine', { a: 'b' }, T0 + 1],
    );
    assert.deepEqual(await store.webhooks.find({ tenantId: TENANT, id }), changed);
    await createSession(store);
    assert.deepEqual(await typesOf(store, changed), []);
  }),

  'a new secret leaves the former in use for a while': law(async (store) => {
    const { id } = await createWebhook(store);
    const rotate = async (secret: string, keepUntil: number, now: number) =>
      (await store.webhooks.rotate({ tenantId: TENANT, id, secret, keepUntil, now })).secrets;
    assert.deepEqual(await rotate('whsec_B', T0 + 100, T0), [
      { value: 'whsec_B', until: null },
      { value: 'whsec_AAAA', until: T0 + 100 },
    ]);
    assert.deepEqual(await rotate('whsec_C', T0 + 150, T0 + 50), [
      { value: 'whsec_C', until: null },
      { value: 'whsec_B', until: T0 + 150 },
      { value: 'whsec_AAAA', until: T0 + 100 },
    ]);
    assert.deepEqual(await rotate('whsec_D', T0 + 250, T0 + 150), [
      { value: 'whsec_D', until: null },
      { value: 'whsec_C', until: T0 + 250 },
    ]);
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
