import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import {
  accept,
  createSession,
  finish,
  getSession,
  type Laws,
  law,
  lease,
  message,
  NODE,
  newEvent,
  queue,
  readLog,
  readTypes,
  T0,
  tryLease,
} from './kit.ts';

export const leaseLaws: Laws = {
  'a lease hands out the turn with all it needs': law(async (store) => {
    const { id } = await createSession(store);
    const input = message('do it');
    await accept(store, id, [input]);
    const leased = await lease(store, { now: T0 + 5 });
    assert.deepEqual(
      [leased.turn.id, leased.turn.state, leased.turn.attempt, leased.turn.leaseOwner, leased.turn.startedAt],
      [input.effect.turnId, 'running', 1, NODE, T0 + 5],
    );
    assert.deepEqual([leased.message.id, leased.message.payload], [input.id, { text: 'do it' }]);
    assert.deepEqual(leased.approvals, []);
    assert.deepEqual(leased.session, await getSession(store, id));
    assert.deepEqual([leased.session.state, leased.session.lastSeq], ['running', 2]);
    const running = (await readLog(store, id)).at(-1);
    assert.deepEqual([running?.type, running?.turnId], ['session.status_running', input.effect.turnId]);
    assert.equal(await tryLease(store), undefined);
  }),

  'the oldest goes first, over all sessions and tenants': law(async (store) => {
    const [a, b] = [await createSession(store), await createSession(store)];
    const c = await createSession(store, { tenantId: 'other' });
    // The clock may be set back: the order is that of arrival.
    const first = await queue(store, b.id, T0 + 100);
    const second = newId('turn');
    await store.turns.accept({
      tenantId: 'other',
      sessionId: c.id,
      events: [{ ...newEvent('user.message'), effect: { kind: 'message', turnId: second } }],
      maxQueuedPerSession: 9,
      now: T0,
    });
    const third = await queue(store, a.id, T0 + 50);
    assert.deepEqual([(await lease(store)).turn.id, (await lease(store)).turn.id, (await lease(store)).turn.id], [first, second, third]);
  }),

  'a session runs one turn at a time, in order, and others pass it by': law(async (store) => {
    const [a, b] = [await createSession(store), await createSession(store)];
    const [a1, a2, b1] = [await queue(store, a.id), await queue(store, a.id), await queue(store, b.id)];
    const first = await lease(store);
    assert.equal(first.turn.id, a1);
    assert.equal((await lease(store)).turn.id, b1);
    assert.equal(await tryLease(store), undefined);
    await finish(store, first);
    assert.equal((await lease(store)).turn.id, a2);
  }),

  'a session that goes on running says so only once': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    await queue(store, id);
    await finish(store, await lease(store));
    assert.equal((await getSession(store, id)).state, 'running');
    await finish(store, await lease(store));
    assert.deepEqual(await readTypes(store, id), [
      'user.message',
      'user.message',
      'session.status_running',
      'turn.ended',
      'turn.ended',
      'session.status_idle',
    ]);
    assert.equal((await getSession(store, id)).state, 'idle');
  }),

  'many that lease at once get different turns': law(async (store) => {
    for (let index = 0; index < 20; index++) {
      const { id } = await createSession(store);
      await queue(store, id);
      await queue(store, id);
    }
    const leased = await Promise.all(Array.from({ length: 30 }, () => tryLease(store)));
    const got = leased.filter((turn) => turn !== undefined);
    assert.equal(got.length, 20);
    assert.equal(new Set(got.map(({ turn }) => turn.id)).size, 20);
    assert.equal(new Set(got.map(({ session }) => session.id)).size, 20);
  }),

  'what was accepted and is not ended is leased sooner or later': law(async (store) => {
    const { id } = await createSession(store);
    const expected = [];
    for (let index = 0; index < 10; index++) expected.push(await queue(store, id));
    const order = [];
    for (let leased = await tryLease(store); leased !== undefined; leased = await tryLease(store)) {
      order.push(leased.turn.id);
      await finish(store, leased);
    }
    assert.deepEqual(order, expected);
  }),
};
