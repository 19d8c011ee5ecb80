import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { RequestBegin, Store } from '../store.ts';
import { createSession, type Laws, law, message, refuses, T0, TENANT } from './kit.ts';

type BeginInput = Parameters<Store['requests']['begin']>[0];

const HOUR_MS = 3_600_000;
const key = { tenantId: TENANT, key: 'once' } as const;
const answer = { status: 200, body: '{"id":"made"}' } as const;

function begin(store: Store, input: Partial<BeginInput> = {}): Promise<RequestBegin> {
  return store.requests.begin({
    ...key,
    requestHash: 'hash',
    resourceId: newId('agent'),
    holder: newId('request'),
    leaseMs: HOUR_MS,
    keepMs: HOUR_MS,
    ...input,
  });
}

const begun = (resourceId: string, isRepeat = false) => ({ type: 'begun', resourceId, isRepeat });

const acceptUnder = (store: Store, sessionId: string, name: string) =>
  store.turns.accept({
    tenantId: TENANT,
    sessionId,
    events: [message()],
    idempotency: { key: name, requestHash: 'hash', keepMs: 1_000_000 },
    maxQueuedPerSession: 10,
    now: T0,
  });

export const requestLaws: Laws = {
  'a request is reserved, answered, and answered again': law(async (store) => {
    assert.deepEqual(await begin(store, { holder: 'a', resourceId: 'one' }), begun('one'));
    assert.deepEqual(await begin(store), { type: 'running' });
    assert.equal(await store.requests.complete({ ...key, holder: 'b', ...answer }), false, 'nobody but its holder');
    assert.equal(await store.requests.complete({ ...key, holder: 'a', ...answer }), true);
    for (let times = 0; times < 2; times++) assert.deepEqual(await begin(store), { type: 'answered', ...answer });
    assert.equal(await store.requests.complete({ ...key, holder: 'a', status: 500, body: '' }), false, 'the first answer stays');
  }),

  'of many at once one begins': law(async (store) => {
    const all = await Promise.all(Array.from({ length: 8 }, () => begin(store)));
    assert.deepEqual(all.map(({ type }) => type).sort(), ['begun', ...Array(7).fill('running')]);
  }),

  'another request under the key is refused, running or answered': law(async (store) => {
    await begin(store, { holder: 'a' });
    await refuses(begin(store, { requestHash: 'other' }), 'idempotency_mismatch');
    await store.requests.complete({ ...key, holder: 'a', ...answer });
    await refuses(begin(store, { requestHash: 'other' }), 'idempotency_mismatch');
    assert.equal((await begin(store, { tenantId: 'other', requestHash: 'other' })).type, 'begun', 'keys are a tenant’s own');
  }),

  'a reservation whose holder is gone is taken over for the same thing, and the former holder is fenced off': law(async (store) => {
    await begin(store, { holder: 'a', resourceId: 'one', leaseMs: 0 });
    assert.deepEqual(await begin(store, { holder: 'b', resourceId: 'two' }), begun('one', true));
    assert.equal(await store.requests.complete({ ...key, holder: 'a', ...answer }), false);
    await store.requests.abandon({ ...key, holder: 'a', keepsResource: false });
    assert.deepEqual(await begin(store), { type: 'running' });
    assert.equal(await store.requests.complete({ ...key, holder: 'b', ...answer }), true);
  }),

  'what was given up is free, or waits for the next try at the same thing': law(async (store) => {
    await begin(store, { holder: 'a', resourceId: 'one' });
    await store.requests.abandon({ ...key, holder: 'a', keepsResource: true });
    await refuses(begin(store, { requestHash: 'other' }), 'idempotency_mismatch');
    assert.deepEqual(await begin(store, { holder: 'b', resourceId: 'two' }), begun('one', true));
    await store.requests.abandon({ ...key, holder: 'b', keepsResource: false });
    assert.deepEqual(await begin(store, { resourceId: 'three', requestHash: 'other' }), begun('three'));
  }),

  'a key is forgotten after its time': law(async (store) => {
    await begin(store, { holder: 'a', resourceId: 'one', keepMs: 0 });
    assert.deepEqual(await begin(store, { holder: 'b', resourceId: 'two', requestHash: 'other' }), begun('two'));
    assert.equal(await store.requests.complete({ ...key, holder: 'a', ...answer }), false);
    for (let index = 0; index < 20; index++) await begin(store, { key: `k${index}`, keepMs: 0 });
    for (let index = 0; index < 20; index++) assert.equal((await begin(store, { key: `k${index}`, requestHash: 'new' })).type, 'begun');
  }),

  'a key is that of one request, whether it sends events or makes something': law(async (store) => {
    const session = await createSession(store);
    await acceptUnder(store, session.id, 'sent');
    await refuses(begin(store, { key: 'sent' }), 'idempotency_mismatch');
    await begin(store, { key: 'made' });
    await refuses(acceptUnder(store, session.id, 'made'), 'idempotency_mismatch');
    await begin(store, { key: 'gone', keepMs: 0 });
    assert.equal((await acceptUnder(store, session.id, 'gone')).isReplay, false);
  }),

  'what has the id already is not made again': law(async (store) => {
    const [id, now] = [newId('agent'), T0];
    const agent = await store.agents.create({ id, tenantId: TENANT, definition: { name: 'one' }, now });
    assert.deepEqual(await store.agents.create({ id, tenantId: TENANT, definition: { name: 'two' }, now: now + 1 }), agent);
    const environment = await store.environments.create({ id, tenantId: TENANT, definition: { name: 'one' }, now });
    assert.deepEqual(await store.environments.create({ id, tenantId: TENANT, definition: {}, now: now + 1 }), environment);
    const session = await createSession(store);
    const { id: sessionId, agentId, agentVersion, environmentId } = session;
    const again = { id: sessionId, agentId, agentVersion, environmentId, agent: {}, environment: {}, title: 'two', metadata: {}, now };
    assert.deepEqual(await store.sessions.create({ ...again, tenantId: TENANT }), session);
    await refuses(store.sessions.create({ ...again, tenantId: 'other' }), 'session_not_found');
    const event = { id: newId('event'), type: 'session.updated', payload: {}, processedAt: now };
    const updated = await store.sessions.update({ tenantId: TENANT, id: sessionId, title: 'three', event, now });
    assert.deepEqual(await store.sessions.update({ tenantId: TENANT, id: sessionId, title: 'four', event, now }), updated);
    const webhook = {
      id: newId('webhook'),
      tenantId: TENANT,
      url: 'https://example.com',
      events: ['*'],
      description: null,
      metadata: {},
      now,
    };
    const first = await store.webhooks.create({ ...webhook, secret: 'first', max: 1 });
    assert.deepEqual(await store.webhooks.create({ ...webhook, secret: 'second', max: 1 }), first);
  }),

  'queued turns are counted by tenant': law(async (store) => {
    assert.equal((await store.turns.queuedByTenant()).get(TENANT) ?? 0, 0);
    const session = await createSession(store);
    for (const name of ['one', 'two']) await acceptUnder(store, session.id, name);
    assert.deepEqual(await store.turns.queuedByTenant(), new Map([[TENANT, 2]]));
  }),
};
