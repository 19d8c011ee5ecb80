import assert from 'node:assert/strict';
import type { Store } from '../store.ts';
import { createSession, type Laws, LEASE_MS, law, lease, NODE, queue, T0, TENANT, tryLease, VOLUME } from './kit.ts';

const OTHER = 'nod_two';
const KEY = 'key';

const beat = (store: Store, id: string, leaseMs = LEASE_MS) => store.nodes.beat({ id, host: 'host', leaseMs, isSoleNode: false });
const add = (store: Store, id: string, nodeId = NODE) => store.warm.add({ id, tenantId: TENANT, key: KEY, nodeId, now: T0 });
const claim = (store: Store, sessionId: string, other: Partial<Parameters<Store['warm']['claim']>[0]> = {}) =>
  store.warm.claim({ id: 'one', tenantId: TENANT, key: KEY, nodeId: NODE, volumeId: VOLUME, sessionId, ...other });
const states = async (store: Store) => (await store.warm.list()).map(({ id, state }) => `${id} ${state}`);

/** A sandbox that is ready on the first of two live nodes. */
async function withReady(store: Store): Promise<void> {
  await beat(store, NODE);
  await beat(store, OTHER);
  await add(store, 'one');
  assert.equal(await store.warm.ready({ id: 'one' }), true);
}

export const warmLaws: Laws = {
  'a sandbox is claimed once it is ready, by one session of many that ask at once': law(async (store) => {
    await beat(store, NODE);
    await add(store, 'one');
    const sessions = await Promise.all(Array.from({ length: 8 }, () => createSession(store)));
    const [first] = sessions;
    assert.equal(await claim(store, first?.id ?? ''), false, 'it is still being made');
    assert.equal(await store.warm.ready({ id: 'one' }), true);
    const won = await Promise.all(sessions.map(({ id }) => claim(store, id)));
    assert.equal(won.filter(Boolean).length, 1);
    const [row] = await store.warm.list();
    assert.equal(row?.state, 'claimed');
    assert.equal(row?.sessionId, sessions[won.indexOf(true)]?.id);
    assert.equal(await store.warm.ready({ id: 'one' }), false, 'nor does it go back');
  }),

  'what it was not made for does not get it': law(async (store) => {
    await withReady(store);
    const { id } = await createSession(store);
    const stranger = await createSession(store, { tenantId: 'other' });
    assert.equal(await claim(store, id, { key: 'another' }), false);
    assert.equal(await claim(store, stranger.id), false);
    assert.equal(await claim(store, stranger.id, { tenantId: 'other' }), false);
    assert.equal(await claim(store, id, { nodeId: OTHER }), false);
    assert.equal(await claim(store, 'ses_none'), false);
    assert.deepEqual(await states(store), ['one ready']);
  }),

  'a claim places the session on the node, and one that is placed elsewhere claims nothing': law(async (store) => {
    await withReady(store);
    const elsewhere = await createSession(store);
    await store.nodes.claim({ id: OTHER, volumeId: VOLUME, tenantId: TENANT, sessionId: elsewhere.id });
    assert.equal(await claim(store, elsewhere.id), false);
    const away = await createSession(store);
    await store.nodes.claim({ id: OTHER, volumeId: 'vol_two', tenantId: TENANT, sessionId: away.id });
    await store.nodes.release({ id: OTHER, tenantId: TENANT, sessionId: away.id });
    assert.equal(await claim(store, away.id), false, 'its files are on another volume');
    const { id } = await createSession(store);
    assert.equal(await claim(store, id), true);
    await queue(store, id);
    assert.equal(await tryLease(store, { nodeId: OTHER }), undefined);
    assert.equal((await lease(store)).isHere, true);
  }),

  'a session that has a conversation claims nothing, nor one that is archived, nor a second': law(async (store) => {
    await withReady(store);
    const talked = await createSession(store);
    await queue(store, talked.id);
    const { turn } = await lease(store);
    await store.turns.append({ turnId: turn.id, attempt: turn.attempt, events: [], harnessSessionId: 'old', now: T0 });
    assert.equal(await claim(store, talked.id), false);
    const archived = await createSession(store);
    await store.sessions.archive({ tenantId: TENANT, id: archived.id, now: T0 });
    assert.equal(await claim(store, archived.id), false);
    await add(store, 'two');
    await store.warm.ready({ id: 'two' });
    const { id } = await createSession(store);
    assert.equal(await claim(store, id), true);
    assert.equal(await claim(store, id, { id: 'two' }), false);
    await store.warm.remove({ id: 'one' });
    await store.warm.remove({ id: 'one' });
    assert.deepEqual(await states(store), ['two ready']);
  }),

  'the rows of dead nodes are swept, those of live ones and our own stay': law(async (store) => {
    await withReady(store);
    await add(store, 'two', OTHER);
    await add(store, 'three', 'nod_dead');
    assert.deepEqual(
      (await store.warm.sweep({ nodeId: NODE })).map(({ id }) => id),
      ['three'],
    );
    await beat(store, NODE, 0);
    await beat(store, OTHER, 0);
    assert.deepEqual(
      (await store.warm.sweep({ nodeId: NODE })).map(({ id }) => id),
      ['two'],
    );
    assert.deepEqual(await states(store), ['one ready']);
  }),

  'the last agent of an environment is known until the environment is archived': law(async (store) => {
    const definition = { name: 'here', config: { warm: 1 } };
    for (const [tenantId, id] of [
      [TENANT, 'env_one'],
      ['other', 'env_two'],
    ] as const)
      await store.environments.create({ id, tenantId, definition, now: T0 });
    const use = (environmentId: string, agentId: string, now: number, tenantId = TENANT) =>
      store.warm.use({ tenantId, environmentId, agentId, now });
    await use('env_one', 'agt_one', T0);
    await use('env_one', 'agt_two', T0 + 1);
    await use('env_two', 'agt_three', T0 + 2, 'other');
    await use('env_gone', 'agt_one', T0 + 3);
    assert.deepEqual(await store.warm.uses(), [
      { tenantId: 'other', environmentId: 'env_two', environment: definition, agentId: 'agt_three' },
      { tenantId: TENANT, environmentId: 'env_one', environment: definition, agentId: 'agt_two' },
    ]);
    await store.environments.archive({ tenantId: TENANT, id: 'env_one', now: T0 });
    assert.deepEqual(
      (await store.warm.uses()).map(({ agentId }) => agentId),
      ['agt_three'],
    );
  }),
};
