import assert from 'node:assert/strict';
import { systemClock } from '../../base/clock.ts';
import type { LeasedTurn, Store } from '../store.ts';
import {
  append,
  ask,
  createSession,
  finish,
  getSession,
  getTurn,
  type Laws,
  LEASE_MS,
  law,
  lease,
  NODE,
  newEvent,
  queue,
  refuses,
  T0,
} from './kit.ts';

const HEIR = 'nod_heir';

function takeOver(
  store: Store,
  input: { nodeId?: string; isSoleNode?: boolean; held?: readonly string[]; now?: number } = {},
): Promise<LeasedTurn | undefined> {
  return store.turns.takeOver({ nodeId: HEIR, leaseMs: LEASE_MS, isSoleNode: false, held: [], now: T0, ...input });
}

export const takeOverLaws: Laws = {
  'a turn with a dead lease is taken over as it was left': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const dead = await lease(store, { leaseMs: 0 });
    await append(store, dead, { isPrompted: true, now: T0 + 1 });
    const taken = (await takeOver(store)) ?? assert.fail('there is a dead lease');
    assert.deepEqual(
      [taken.turn.id, taken.turn.attempt, taken.turn.leaseOwner, taken.turn.state, taken.turn.promptedAt],
      [turnId, 2, HEIR, 'running', T0 + 1],
    );
    assert.deepEqual([taken.message.id, taken.session.id], [dead.message.id, id]);
    assert.equal(await takeOver(store), undefined);
  }),

  'the old run can write nothing any more': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const dead = await lease(store, { leaseMs: 0 });
    const taken = (await takeOver(store)) ?? assert.fail('there is a dead lease');
    const before = await getSession(store, id);
    await refuses(append(store, dead, { events: [newEvent('agent.message')] }), 'lease_lost');
    await refuses(store.turns.heartbeat({ turnId: dead.turn.id, attempt: dead.turn.attempt, leaseMs: 999_999 }), 'lease_lost');
    await refuses(finish(store, dead), 'lease_lost');
    await refuses(
      store.turns.requeue({ turnId: dead.turn.id, attempt: dead.turn.attempt, events: [newEvent('x')], now: T0 }),
      'lease_lost',
    );
    assert.deepEqual(await getSession(store, id), before);
    await finish(store, taken, { outcome: 'interrupted', stopReason: null });
    assert.equal((await getTurn(store, dead.turn.id)).state, 'interrupted');
  }),

  'a live lease is left alone, unless no other node exists': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    await lease(store);
    assert.equal(await takeOver(store), undefined);
    assert.ok(await takeOver(store, { isSoleNode: true }));
  }),

  'a node takes over from itself only what it has given up': law(async (store) => {
    const { id } = await createSession(store);
    const held = [await queue(store, id)];
    await lease(store, { leaseMs: 0 });
    assert.equal(await takeOver(store, { nodeId: NODE, held }), undefined);
    assert.equal(await takeOver(store, { nodeId: NODE, held, isSoleNode: true }), undefined);
    assert.equal((await takeOver(store, { nodeId: NODE }))?.turn.attempt, 2);
    assert.equal(await takeOver(store, { nodeId: NODE, isSoleNode: true }), undefined, 'its lease is live');
  }),

  'a turn that waits under a dead lease is taken over, a parked one is nobody’s': law(async (store) => {
    const [waiting, parked] = [await createSession(store), await createSession(store)];
    await queue(store, waiting.id);
    await queue(store, parked.id);
    const approvalId = await ask(store, await lease(store, { leaseMs: 0 }));
    await ask(store, await lease(store, { leaseMs: 0 }), { isParked: true });
    const taken = (await takeOver(store)) ?? assert.fail('there is a dead lease');
    assert.deepEqual([taken.session.id, taken.turn.state], [waiting.id, 'waiting_approval']);
    assert.deepEqual(
      taken.approvals.map((approval) => approval.id),
      [approvalId],
    );
    assert.equal(await takeOver(store, { isSoleNode: true, nodeId: HEIR }), undefined);
  }),

  'the time after a dead lease is not active time': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    // Leases are in the store's time, which goes on from the host's.
    const begun = systemClock.now();
    await lease(store, { leaseMs: 0, now: begun });
    const later = begun + 10 * LEASE_MS;
    const taken = (await takeOver(store, { now: later })) ?? assert.fail('there is a dead lease');
    await finish(store, taken, { now: later + 5 });
    const { activeMs } = await getSession(store, id);
    assert.ok(activeMs >= 5 && activeMs < LEASE_MS, `${activeMs} ms`);
  }),
};
