import assert from 'node:assert/strict';
import type { Store } from '../store.ts';
import {
  accept,
  append,
  ask,
  confirmation,
  createSession,
  finish,
  getSession,
  getTurn,
  interrupt,
  type Laws,
  law,
  lease,
  queue,
  readLog,
  refuses,
  T0,
  TENANT,
  tryLease,
} from './kit.ts';

async function states(store: Store, sessionId: string) {
  const approvals = await store.turns.approvals({ tenantId: TENANT, sessionId });
  return approvals.map((approval) => approval.state);
}

export const confirmationLaws: Laws = {
  'a question is stored as it was asked': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const approvalId = await ask(store, await lease(store));
    const approval = {
      id: approvalId,
      tenantId: TENANT,
      sessionId: id,
      turnId,
      kind: 'tool',
      toolName: 'bash',
      input: { command: 'ls' },
      inputHash: null,
      rule: null,
      state: 'pending',
      denyMessage: null,
      scope: null,
      raiseMicros: null,
      decidedBy: null,
      decidedAt: null,
      createdAt: T0,
      expiresAt: null,
    };
    assert.deepEqual(await store.turns.approvals({ tenantId: TENANT, sessionId: id }), [approval]);
    assert.deepEqual(await store.turns.approvals({ tenantId: TENANT, sessionId: id, state: 'pending' }), [approval]);
    assert.deepEqual(await store.turns.approvals({ tenantId: TENANT, sessionId: id, state: 'granted' }), []);
    assert.deepEqual(await store.turns.approvals({ tenantId: 'other', sessionId: id }), []);
    assert.deepEqual([(await getSession(store, id)).state, (await getTurn(store, turnId)).state], ['waiting', 'waiting_approval']);
  }),

  'an answer decides once': law(async (store) => {
    const { id } = await createSession(store);
    const other = await createSession(store);
    const turnId = await queue(store, id);
    const approvalId = await ask(store, await lease(store));
    await refuses(accept(store, other.id, [confirmation(approvalId)]), 'event_not_found');
    const { events } = await accept(store, id, [confirmation(approvalId, 'denied', 'not today')]);
    assert.equal(events[0]?.turnId, turnId);
    const [approval] = await store.turns.approvals({ tenantId: TENANT, sessionId: id });
    assert.deepEqual([approval?.state, approval?.denyMessage], ['denied', 'not today']);
    await refuses(accept(store, id, [confirmation(approvalId)]), 'approval_not_pending');
    await refuses(accept(store, id, [confirmation('evt_none')]), 'event_not_found');
    assert.equal((await getTurn(store, turnId)).state, 'waiting_approval', 'a run that waits moves itself');
  }),

  'a parked turn holds its session until the last answer, then continues first': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const next = await queue(store, id);
    const leased = await lease(store);
    const questions = [await ask(store, leased), await ask(store, leased, { isParked: true })];
    const parked = await getTurn(store, turnId);
    assert.deepEqual([parked.state, parked.leaseOwner, parked.leaseUntil], ['waiting_approval', null, null]);
    assert.equal(await tryLease(store), undefined);
    await accept(store, id, [confirmation(questions[0] ?? '')]);
    assert.equal(await tryLease(store), undefined);
    await accept(store, id, [confirmation(questions[1] ?? '', 'denied')]);
    const continued = await lease(store);
    assert.deepEqual(
      [continued.turn.id, continued.turn.attempt, continued.turn.isContinuation, continued.turn.promptedAt],
      [turnId, 2, true, null],
    );
    assert.deepEqual(
      continued.approvals.map((approval) => [approval.id, approval.state]),
      [
        [questions[0], 'granted'],
        [questions[1], 'denied'],
      ],
    );
    assert.equal((await readLog(store, id)).at(-1)?.type, 'session.status_running');
    assert.equal((await getSession(store, id)).state, 'running');
    await finish(store, continued);
    assert.equal((await lease(store)).turn.id, next);
  }),

  'a turn that is parked after its last answer continues at once': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const leased = await lease(store);
    const approvalId = await ask(store, leased);
    await accept(store, id, [confirmation(approvalId)]);
    await append(store, leased, { state: 'waiting_approval', isParked: true });
    const continued = await lease(store);
    assert.deepEqual([continued.turn.id, continued.turn.isContinuation], [turnId, true]);
  }),

  'the time a turn is parked is not active time': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const approvalId = await ask(store, await lease(store, { now: T0 }), { isParked: true, now: T0 + 100 });
    await accept(store, id, [confirmation(approvalId)], T0 + 5000);
    await finish(store, await lease(store, { now: T0 + 6000 }), { now: T0 + 6010 });
    assert.equal((await getSession(store, id)).activeMs, 110);
  }),

  'what is still open at the end of the turn expires': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const leased = await lease(store);
    const granted = await ask(store, leased);
    const open = await ask(store, leased);
    await accept(store, id, [confirmation(granted)]);
    await finish(store, leased, { outcome: 'failed', stopReason: null, error: { code: 'turn_timeout', message: 'late' } });
    assert.deepEqual(await states(store, id), ['granted', 'expired']);
    await refuses(accept(store, id, [confirmation(open)]), 'approval_not_pending');
  }),

  'an answer that comes with an interrupt changes nothing any more': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const approvalId = await ask(store, await lease(store), { isParked: true });
    await refuses(accept(store, id, [interrupt(), confirmation(approvalId)]), 'approval_not_pending');
    assert.deepEqual(await states(store, id), ['pending']);
  }),
};
