import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { Store } from '../store.ts';
import { createSession, type Laws, law, newEvent, queue, readPages, refuses, T0, TENANT } from './kit.ts';

async function createAgent(store: Store, now = T0, tenantId = TENANT) {
  return store.agents.create({ id: newId('agent'), tenantId, definition: { name: 'Ada', tools: [{ type: 'x' }] }, now });
}

export const agentLaws: Laws = {
  'an agent begins with version 1': law(async (store) => {
    const agent = await createAgent(store);
    assert.deepEqual(agent, {
      id: agent.id,
      tenantId: TENANT,
      version: 1,
      definition: { name: 'Ada', tools: [{ type: 'x' }] },
      createdAt: T0,
      updatedAt: T0,
      archivedAt: null,
    });
    assert.deepEqual(await store.agents.find({ tenantId: TENANT, id: agent.id }), agent);
  }),

  'an agent is in use until it is archived and its sessions are gone': law(async (store) => {
    const [one, other] = [await createAgent(store), await createAgent(store)];
    const inUse = async () => [...(await store.agents.inUse({ ids: [one.id, other.id, 'agt_nobody'] }))].sort();
    const session = await createSession(store, { agentId: one.id });
    for (const { id } of [one, other]) await store.agents.archive({ tenantId: TENANT, id, now: T0 });
    assert.deepEqual(await inUse(), [one.id]);
    await store.sessions.remove({ tenantId: TENANT, id: session.id, event: newEvent('session.deleted'), now: T0 });
    assert.deepEqual(await inUse(), []);
  }),

  'a new version leaves the older ones readable': law(async (store) => {
    const first = await createAgent(store);
    const second = await store.agents.addVersion({
      tenantId: TENANT,
      id: first.id,
      definition: { name: 'Bob' },
      expectedVersion: 1,
      now: T0 + 5,
    });
    assert.equal(second.version, 2);
    assert.equal(second.createdAt, T0);
    assert.equal(second.updatedAt, T0 + 5);
    assert.deepEqual(await store.agents.find({ tenantId: TENANT, id: first.id }), second);
    assert.deepEqual(await store.agents.find({ tenantId: TENANT, id: first.id, version: 1 }), first);
    assert.equal(await store.agents.find({ tenantId: TENANT, id: first.id, version: 3 }), undefined);
  }),

  'of two updates that expect the same version one is refused': law(async (store) => {
    const { id } = await createAgent(store);
    const update = (name: string) => store.agents.addVersion({ tenantId: TENANT, id, definition: { name }, expectedVersion: 1, now: T0 });
    const results = await Promise.allSettled([update('a'), update('b')]);
    assert.deepEqual(results.map((result) => result.status).sort(), ['fulfilled', 'rejected']);
    await refuses(update('c'), 'agent_version_conflict');
    assert.equal((await store.agents.find({ tenantId: TENANT, id }))?.version, 2);
  }),

  'an archived agent takes no version, and archiving again changes nothing': law(async (store) => {
    const { id } = await createAgent(store);
    const archived = await store.agents.archive({ tenantId: TENANT, id, now: T0 + 1 });
    assert.equal(archived.archivedAt, T0 + 1);
    assert.deepEqual(await store.agents.archive({ tenantId: TENANT, id, now: T0 + 2 }), archived);
    await refuses(store.agents.addVersion({ tenantId: TENANT, id, definition: {}, now: T0 }), 'agent_archived');
  }),

  'an agent of another tenant is as good as missing': law(async (store) => {
    const { id } = await createAgent(store);
    const foreign = { tenantId: 'other', id, now: T0 };
    assert.equal(await store.agents.find(foreign), undefined);
    assert.equal(await store.agents.find({ ...foreign, version: 1 }), undefined);
    await refuses(store.agents.addVersion({ ...foreign, definition: {} }), 'agent_not_found');
    await refuses(store.agents.archive(foreign), 'agent_not_found');
    assert.deepEqual((await store.agents.list({ tenantId: 'other', includeArchived: true, limit: 9, order: 'asc' })).data, []);
    assert.deepEqual((await store.agents.listVersions({ tenantId: 'other', id, limit: 9, order: 'asc' })).data, []);
  }),

  'the listing shows newest versions by time of creation': law(async (store) => {
    const agents = [];
    for (let index = 0; index < 5; index++) agents.push(await createAgent(store, T0 + Math.floor(index / 2)));
    const [first] = agents;
    assert(first !== undefined);
    const renamed = await store.agents.addVersion({ tenantId: TENANT, id: first.id, definition: { name: 'new' }, now: T0 + 9 });
    const expected = [renamed, ...agents.slice(1)].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
    for (const order of ['asc', 'desc'] as const) {
      const pages = await readPages((paging) => store.agents.list({ tenantId: TENANT, includeArchived: false, order, ...paging }), 2);
      assert.deepEqual(
        pages.map((page) => page.length),
        [2, 2, 1],
      );
      assert.deepEqual(pages.flat(), order === 'asc' ? expected : expected.toReversed());
    }
  }),

  'the listing leaves out what is archived or out of range': law(async (store) => {
    const [a, b, c] = [await createAgent(store, T0), await createAgent(store, T0 + 1), await createAgent(store, T0 + 2)];
    const ids = async (filter: {
      includeArchived?: boolean;
      createdGt?: number;
      createdGte?: number;
      createdLt?: number;
      createdLte?: number;
    }) => {
      const page = await store.agents.list({ tenantId: TENANT, includeArchived: false, limit: 9, order: 'asc', ...filter });
      return page.data.map((agent) => agent.id);
    };
    await store.agents.archive({ tenantId: TENANT, id: b.id, now: T0 });
    assert.deepEqual(await ids({}), [a.id, c.id]);
    assert.deepEqual(await ids({ includeArchived: true }), [a.id, b.id, c.id]);
    assert.deepEqual(await ids({ createdGt: T0 }), [c.id]);
    assert.deepEqual(await ids({ createdGte: T0, createdLte: T0 + 2 }), [a.id, c.id]);
    assert.deepEqual(await ids({ createdLt: T0 + 2 }), [a.id]);
  }),

  'the versions of an agent are listed in order': law(async (store) => {
    const { id } = await createAgent(store);
    for (let version = 2; version <= 5; version++)
      await store.agents.addVersion({ tenantId: TENANT, id, definition: { version }, now: T0 });
    const pages = await readPages((paging) => store.agents.listVersions({ tenantId: TENANT, id, order: 'desc', ...paging }), 2);
    assert.deepEqual(
      pages.map((page) => page.map((agent) => agent.version)),
      [[5, 4], [3, 2], [1]],
    );
  }),

  'what has come of an agent is counted over its sessions': law(async (store) => {
    const one = await createSession(store, { agentId: 'agt_a', now: T0 + 5 });
    await createSession(store, { agentId: 'agt_a' });
    await createSession(store, { agentId: 'agt_b' });
    await createSession(store, { agentId: 'agt_a', tenantId: 'other' });
    await queue(store, one.id, T0 + 6);
    await queue(store, one.id, T0 + 7);
    const activity = await store.agents.activity({ tenantId: TENANT, ids: ['agt_a', 'agt_c'] });
    assert.deepEqual([...activity.keys()], ['agt_a']);
    assert.deepEqual(activity.get('agt_a'), { messages: 2, tokens: 0, lastActiveAt: T0 + 7 });
  }),
};
