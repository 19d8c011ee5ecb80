import assert from 'node:assert/strict';
import type { Store } from '../store.ts';
import { createSession, finish, getTurn, type Laws, LEASE_MS, law, lease, NODE, queue, TENANT, tryLease, VOLUME } from './kit.ts';

const OTHER = 'nod_two';

const beat = (store: Store, id: string, leaseMs = LEASE_MS, isSoleNode = false) =>
  store.nodes.beat({ id, host: 'host', leaseMs, isSoleNode });
const alive = async (store: Store) => (await store.nodes.list()).map(({ id }) => id).sort();

/** A session whose sandbox is on the first node, with a turn that waits. */
async function sessionOnFirstNode(store: Store): Promise<string> {
  await beat(store, NODE);
  await beat(store, OTHER);
  const { id } = await createSession(store);
  await queue(store, id);
  await finish(store, await lease(store));
  await queue(store, id);
  return id;
}

export const dutyAndNodeLaws: Laws = {
  'a node is there while it beats': law(async (store) => {
    await beat(store, NODE);
    await beat(store, OTHER, 0);
    assert.deepEqual(await alive(store), [NODE]);
    await beat(store, OTHER);
    const [first] = await store.nodes.list();
    assert.ok(first !== undefined && first.aliveUntil >= first.joinedAt + LEASE_MS);
    assert.deepEqual(await alive(store), [NODE, OTHER]);
    await store.nodes.leave({ id: NODE });
    await store.nodes.leave({ id: NODE });
    assert.deepEqual(await alive(store), [OTHER]);
  }),

  'a sole node takes the place of all, and tries at once what waited': law(async (store) => {
    await beat(store, OTHER, LEASE_MS, true);
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const { turn } = await lease(store, { nodeId: OTHER });
    await store.turns.requeue({ turnId, attempt: turn.attempt, events: [], retryInMs: 3_600_000, now: turn.createdAt });
    await beat(store, OTHER, LEASE_MS, true);
    assert.notEqual((await getTurn(store, turnId)).retryAt, null, 'a beat alone changes nothing');
    await beat(store, NODE, LEASE_MS, true);
    assert.deepEqual(await alive(store), [NODE]);
    assert.equal((await lease(store)).turn.id, turnId);
  }),

  'a session is leased by the node that has its sandbox, while that is alive': law(async (store) => {
    await sessionOnFirstNode(store);
    assert.equal(await tryLease(store, { nodeId: OTHER }), undefined);
    assert.equal((await lease(store)).isHere, true);
  }),

  'a session of a node that is dead or has left is leased by any': law(async (store) => {
    await sessionOnFirstNode(store);
    await beat(store, NODE, 0);
    const leased = await lease(store, { nodeId: OTHER });
    assert.equal(leased.isHere, false);
    await finish(store, leased);
    await queue(store, leased.session.id);
    await beat(store, NODE);
    assert.equal(await tryLease(store), undefined, 'the sandbox is on the other node now');
    await store.nodes.leave({ id: OTHER });
    assert.equal((await lease(store)).isHere, false);
  }),

  'what a dead node had leased is free at once when it is buried': law(async (store) => {
    await sessionOnFirstNode(store);
    const { turn } = await lease(store);
    await store.duties.hold({ name: 'sweep', nodeId: NODE, leaseMs: LEASE_MS });
    const takeOver = () => store.turns.takeOver({ nodeId: OTHER, leaseMs: LEASE_MS, isSoleNode: false, held: [], now: turn.createdAt });
    assert.equal(await takeOver(), undefined);
    await store.nodes.bury({ id: OTHER });
    assert.deepEqual([await alive(store), await takeOver()], [[NODE], undefined], 'another one was buried');
    await beat(store, OTHER);
    await store.nodes.bury({ id: NODE });
    assert.deepEqual(await alive(store), [OTHER]);
    assert.equal((await takeOver())?.turn.id, turn.id);
    assert.equal(await store.duties.hold({ name: 'sweep', nodeId: OTHER, leaseMs: LEASE_MS }), true);
  }),

  'a node that claims a session leases its first turn, unless another was quicker': law(async (store) => {
    await beat(store, NODE);
    await beat(store, OTHER);
    const { id: sessionId } = await createSession(store);
    const claim = (id: string, volumeId = VOLUME) => store.nodes.claim({ id, volumeId, tenantId: TENANT, sessionId });
    assert.equal(await claim(OTHER), true);
    assert.equal(await claim(OTHER), true, 'once more is as good');
    assert.equal(await claim(NODE), false);
    await queue(store, sessionId);
    assert.equal(await tryLease(store), undefined);
    assert.equal((await lease(store, { nodeId: OTHER })).isHere, true, 'its sandbox is there');
    await store.nodes.leave({ id: OTHER });
    assert.equal(await claim(NODE, 'vol_two'), false, 'the files are elsewhere');
    assert.equal(await claim(NODE), true);
    assert.equal(await store.nodes.claim({ id: NODE, volumeId: VOLUME, tenantId: 'other', sessionId }), false);
  }),

  'a session whose sandbox is given up is leased by any': law(async (store) => {
    const id = await sessionOnFirstNode(store);
    await store.nodes.release({ id: OTHER, tenantId: TENANT, sessionId: id });
    assert.equal(await tryLease(store, { nodeId: OTHER }), undefined, 'only its own node can give it up');
    await store.nodes.release({ id: NODE, tenantId: TENANT, sessionId: id });
    assert.equal((await lease(store, { nodeId: OTHER })).isHere, false);
  }),

  'a session is taken over while nothing is under way, and the node that had it lets go': law(async (store) => {
    const sessionId = await sessionOnFirstNode(store);
    const key = { tenantId: TENANT, sessionId };
    const takeOver = (id: string, volumeId = VOLUME) => store.nodes.takeOver({ id, volumeId, ...key });
    assert.equal(await takeOver(OTHER), 'busy', 'a turn waits');
    await finish(store, await lease(store));
    assert.equal(await takeOver(OTHER, 'vol_two'), 'elsewhere');
    assert.equal(await takeOver(NODE), 'ours', 'it has been');
    assert.equal(await store.nodes.hasLeft(key), true);
    assert.equal(await takeOver(OTHER), 'leaving');
    assert.deepEqual([await store.nodes.strayed({ id: NODE, sessions: [key] }), await store.nodes.hasLeft(key)], [[key], false]);
    assert.equal(await takeOver(OTHER), 'leaving', 'asked again');
    await store.nodes.letGo({ id: NODE, except: [sessionId] });
    await store.nodes.letGo({ id: OTHER, except: [] });
    assert.equal(await store.nodes.hasLeft(key), false);
    await store.nodes.letGo({ id: NODE, except: ['ses_another'] });
    assert.equal(await store.nodes.hasLeft(key), true);
    assert.equal(await takeOver(NODE), 'leaving');
    await beat(store, OTHER, 0);
    assert.equal(await store.nodes.hasLeft(key), true, 'the dead hold nothing');
    assert.equal(await takeOver(NODE), 'ours');
    await assert.rejects(store.nodes.takeOver({ id: NODE, volumeId: VOLUME, tenantId: 'other', sessionId }), { code: 'session_not_found' });
  }),

  'sessions that share a workspace are where the first of them was made': law(async (store) => {
    await beat(store, NODE);
    await beat(store, OTHER);
    const row = {
      tenantId: TENANT,
      agentVersion: 1,
      agent: {},
      environmentId: 'env_one',
      environment: {},
      title: null,
      metadata: {},
      now: 1,
    };
    const make = (id: string, sharedVolumeId: string | undefined, agentId = 'agt_shares') =>
      store.sessions.create({ ...row, id, agentId, sharedVolumeId });
    const claim = (id: string, volumeId: string, sessionId: string) => store.nodes.claim({ id, volumeId, tenantId: TENANT, sessionId });
    await make('ses_first', VOLUME);
    await make('ses_second', 'vol_two');
    await make('ses_alone', undefined);
    await make('ses_other', 'vol_two', 'agt_other');
    await store.sessions.fork({ tenantId: TENANT, from: 'ses_first', id: 'ses_fork', throughSeq: 0, sharedVolumeId: 'vol_two', now: 1 });
    for (const id of ['ses_first', 'ses_second', 'ses_fork'])
      assert.deepEqual([await claim(OTHER, 'vol_two', id), await claim(NODE, VOLUME, id)], [false, true], id);
    for (const id of ['ses_alone', 'ses_other']) assert.equal(await claim(OTHER, 'vol_two', id), true, id);
    await queue(store, 'ses_second');
    assert.equal(await tryLease(store, { nodeId: OTHER, volumeId: 'vol_two' }), undefined);
  }),

  'a node learns which of its sessions have gone on elsewhere': law(async (store) => {
    const id = await sessionOnFirstNode(store);
    const own = { tenantId: TENANT, sessionId: id };
    const gone = { tenantId: TENANT, sessionId: 'ses_removed' };
    const strayed = (nodeId: string) => store.nodes.strayed({ id: nodeId, sessions: [own, gone] });
    assert.deepEqual(await strayed(NODE), [gone], 'one that is removed is nowhere');
    await beat(store, NODE, 0);
    await lease(store, { nodeId: OTHER });
    assert.deepEqual([await strayed(NODE), await strayed(OTHER)], [[own, gone], [gone]]);
    await store.nodes.release({ id: OTHER, tenantId: TENANT, sessionId: id });
    assert.deepEqual(await strayed(NODE), [gone], 'one without a sandbox is on no other node');
  }),

  'a duty is held by one, extended by it, and taken by another when it ends': law(async (store) => {
    const hold = (nodeId: string, leaseMs = LEASE_MS, name = 'sweep') => store.duties.hold({ name, nodeId, leaseMs });
    assert.deepEqual([await hold(NODE), await hold(OTHER), await hold(NODE)], [true, false, true]);
    assert.equal(await hold(OTHER, LEASE_MS, 'other duty'), true);
    assert.deepEqual([await hold(NODE, 0), await hold(OTHER), await hold(NODE)], [true, true, false]);
  }),

  'a duty is given up by its holder only': law(async (store) => {
    const duty = { name: 'sweep', leaseMs: LEASE_MS };
    await store.duties.hold({ ...duty, nodeId: NODE });
    await store.duties.release({ name: 'sweep', nodeId: OTHER });
    assert.equal(await store.duties.hold({ ...duty, nodeId: OTHER }), false);
    await store.duties.release({ name: 'sweep', nodeId: NODE });
    assert.equal(await store.duties.hold({ ...duty, nodeId: OTHER }), true);
  }),

  'of many that want a duty at once one gets it': law(async (store) => {
    const got = await Promise.all(
      Array.from({ length: 10 }, (_, index) => store.duties.hold({ name: 'sweep', nodeId: `nod_${index}`, leaseMs: LEASE_MS })),
    );
    assert.equal(got.filter(Boolean).length, 1);
  }),
};
