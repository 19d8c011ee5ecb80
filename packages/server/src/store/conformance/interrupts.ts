import assert from 'node:assert/strict';
import {
  accept,
  append,
  ask,
  createSession,
  finish,
  getSession,
  getTurn,
  interrupt,
  type Laws,
  law,
  lease,
  message,
  queue,
  readLog,
  readTypes,
  T0,
  TENANT,
  tryLease,
} from './kit.ts';

export const interruptLaws: Laws = {
  'with nothing under way the interrupt is only recorded': law(async (store) => {
    const { id } = await createSession(store);
    await accept(store, id, [interrupt()]);
    assert.deepEqual(await readTypes(store, id), ['user.interrupt']);
    assert.equal((await getSession(store, id)).state, 'idle');
  }),

  'a run is asked to stop, and goes on holding its turn': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const waiting = await queue(store, id);
    const leased = await lease(store);
    const beat = () => store.turns.heartbeat({ turnId, attempt: leased.turn.attempt, leaseMs: 99 });
    assert.deepEqual(await beat(), { cancelRequested: false });
    await accept(store, id, [interrupt()]);
    assert.deepEqual(await beat(), { cancelRequested: true });
    assert.deepEqual([(await getTurn(store, turnId)).state, (await getTurn(store, waiting)).state], ['running', 'queued']);
    assert.equal((await readLog(store, id)).at(-1)?.turnId, turnId);
    await finish(store, leased, { outcome: 'cancelled', stopReason: 'cancelled' });
    assert.equal((await lease(store)).turn.cancelRequested, false, 'the next turn is not asked to stop');
  }),

  'a run that waits for an approval is asked to stop too': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    await ask(store, await lease(store));
    await accept(store, id, [interrupt()]);
    const turn = await getTurn(store, turnId);
    assert.deepEqual([turn.state, turn.cancelRequested], ['waiting_approval', true]);
  }),

  'the oldest queued turn is cancelled when none runs': law(async (store) => {
    const { id } = await createSession(store);
    const [first, second] = [await queue(store, id), await queue(store, id)];
    const { events } = await accept(store, id, [interrupt()], T0 + 5);
    assert.deepEqual(
      events.map((event) => event.type),
      ['user.interrupt'],
    );
    const turn = await getTurn(store, first);
    assert.deepEqual([turn.state, turn.stopReason, turn.endedAt], ['cancelled', 'cancelled', T0 + 5]);
    assert.deepEqual(await readTypes(store, id), ['user.message', 'user.message', 'user.interrupt', 'turn.ended']);
    const log = await readLog(store, id);
    assert.deepEqual([log[0]?.processedAt, log[1]?.processedAt], [T0 + 5, null]);
    assert.deepEqual([log.at(-1)?.payload, log.at(-1)?.turnId], [{ turnId: first }, first]);
    assert.equal((await lease(store)).turn.id, second);
  }),

  'the last queued turn to be cancelled leaves the session idle, and says so': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    await accept(store, id, [interrupt()]);
    assert.deepEqual(await readTypes(store, id), ['user.message', 'user.interrupt', 'turn.ended', 'session.status_idle']);
    assert.equal((await getSession(store, id)).state, 'idle');
    assert.equal(await tryLease(store), undefined);
  }),

  'a message right behind the interrupt is run': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const { turnIds } = await accept(store, id, [interrupt(), message()]);
    assert.equal((await lease(store)).turn.id, turnIds[0]);
  }),

  'a parked turn is cancelled with its questions, before what is queued': law(async (store) => {
    const { id } = await createSession(store);
    const parked = await queue(store, id);
    const next = await queue(store, id);
    const approvalId = await ask(store, await lease(store), { isParked: true });
    await accept(store, id, [interrupt()]);
    assert.equal((await getTurn(store, parked)).state, 'cancelled');
    assert.deepEqual(
      (await store.turns.approvals({ tenantId: TENANT, sessionId: id })).map((approval) => [approval.id, approval.state]),
      [[approvalId, 'expired']],
    );
    assert.equal((await readTypes(store, id)).includes('session.status_idle'), false);
    const leased = await lease(store);
    assert.equal(leased.turn.id, next);
    assert.equal((await readTypes(store, id)).at(-1), 'session.status_running', 'the wait was over before the next turn');
  }),

  'a turn that was handed back is cancelled like any queued one': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const { turn } = await lease(store);
    await store.turns.requeue({
      turnId,
      attempt: turn.attempt,
      events: [{ id: 'evt_r', type: 'session.status_rescheduled', payload: {}, processedAt: T0 }],
      now: T0,
    });
    await accept(store, id, [interrupt()]);
    assert.equal((await getTurn(store, turnId)).state, 'cancelled');
    assert.equal((await getSession(store, id)).state, 'idle');
  }),

  'a turn that was asked to stop before it was parked is handed out again, to be ended': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const leased = await lease(store);
    await ask(store, leased);
    await accept(store, id, [interrupt()]);
    await append(store, leased, { state: 'waiting_approval', isParked: true });
    const again = await lease(store);
    assert.deepEqual([again.turn.id, again.turn.cancelRequested, again.turn.isContinuation], [turnId, true, true]);
  }),
};
