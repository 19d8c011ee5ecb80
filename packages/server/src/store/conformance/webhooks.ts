import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import { FAILING_LIMIT_MS } from '../store.ts';
import { createSession, type Laws, law, newEvent, readPages, refuses, T0, TENANT } from './kit.ts';
import {
  again,
  createWebhook,
  dead,
  deliveriesOf,
  ENDED,
  fill,
  leaseDeliveries,
  leaseOne,
  SENT,
  STARTED,
  settle,
  typesOf,
  workedSession,
} from './outbox-kit.ts';

export const webhookLaws: Laws = {
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
};
