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
  type Laws,
  law,
  lease,
  newEvent,
  queue,
  readPages,
  readTypes,
  refuses,
  T0,
  TENANT,
} from './kit.ts';

const running = () => newEvent('session.status_running');

function askBudget(store: Store, sessionId: string, turnId: string, more: { expiresAt?: number; subject?: object } = {}) {
  return store.approvals.ask({
    tenantId: TENANT,
    sessionId,
    turnId,
    subject: { budget: 'bud_one', ...more.subject },
    expiresAt: more.expiresAt ?? null,
    event: newEvent('approval.requested'),
    waiting: () => newEvent('session.status_idle'),
    now: T0,
  });
}

const expire = (store: Store, now: number) =>
  store.approvals.expire({ message: 'too late', event: () => newEvent('approval.expired'), running, now });

function raise(approvalId: string, decision: 'granted' | 'denied' = 'granted') {
  const effect = { kind: 'confirmation', approvalId, decision, denyMessage: null, raiseMicros: 5, decidedBy: 'user:ada', running } as const;
  return { ...newEvent('approval.answered'), effect };
}

export const approvalLaws: Laws = {
  'questions are found and listed with the agent that asks': law(async (store) => {
    const { id } = await createSession(store);
    const other = await createSession(store, { agentId: 'agt_two' });
    await queue(store, id, T0);
    await queue(store, other.id, T0 + 1);
    const first = await ask(store, await lease(store));
    const second = await ask(store, await lease(store), { now: T0 + 1 });
    assert.equal((await store.approvals.find({ tenantId: TENANT, id: first }))?.agentId, 'agt_one');
    assert.equal(await store.approvals.find({ tenantId: 'other', id: first }), undefined);
    await accept(store, id, [confirmation(first)]);
    const list = async (filter: object) =>
      (await store.approvals.list({ tenantId: TENANT, limit: 10, order: 'desc', ...filter })).data.map((one) => one.id);
    assert.deepEqual(await list({}), [second, first]);
    assert.deepEqual(await list({ states: ['granted'] }), [first]);
    assert.deepEqual(await list({ sessionId: other.id }), [second]);
    assert.deepEqual(await list({ agentId: 'agt_one' }), [first]);
    assert.deepEqual(await list({ tenantId: 'other' }), []);
    await readPages((paging) => store.approvals.list({ tenantId: TENANT, order: 'asc', ...paging }), 1);
  }),

  'an answer keeps who gave it, when, and for what': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const approvalId = await ask(store, await lease(store));
    const effect = { ...confirmation(approvalId).effect, scope: 'session', decidedBy: 'user:ada' } as const;
    await accept(store, id, [{ ...newEvent('user.tool_confirmation'), effect }], T0 + 3);
    const found = await store.approvals.find({ tenantId: TENANT, id: approvalId });
    assert.deepEqual([found?.state, found?.scope, found?.decidedBy, found?.decidedAt], ['granted', 'session', 'user:ada', T0 + 3]);
  }),

  'of many answers at once one wins': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const approvalId = await ask(store, await lease(store));
    const answers = Array.from({ length: 20 }, (_, index) => {
      const effect = { ...confirmation(approvalId, index % 2 === 0 ? 'granted' : 'denied').effect, decidedBy: `user:${index}` };
      return accept(store, id, [{ ...newEvent('user.tool_confirmation'), effect }]).then(() => `user:${index}`);
    });
    const settled = await Promise.allSettled(answers);
    const winners = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    assert.equal(winners.length, 1);
    assert.equal((await store.approvals.find({ tenantId: TENANT, id: approvalId }))?.decidedBy, winners[0]);
    assert.equal((await readTypes(store, id)).filter((type) => type === 'user.tool_confirmation').length, 1);
  }),

  'a question whose time is over expires, and the parked turn goes on': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const leased = await lease(store);
    const question = newEvent('agent.tool_use');
    const approvals = [{ id: question.id, toolName: 'bash', input: {}, inputHash: 'h', rule: 'r', expiresAt: T0 + 100 }];
    await append(store, leased, { events: [question], approvals, state: 'waiting_approval', isParked: true });
    assert.equal(await expire(store, T0 + 99), undefined);
    assert.equal((await expire(store, T0 + 100))?.id, question.id);
    assert.equal(await expire(store, T0 + 101), undefined);
    const found = await store.approvals.find({ tenantId: TENANT, id: question.id });
    assert.deepEqual([found?.state, found?.denyMessage, found?.decidedBy], ['expired', 'too late', 'system']);
    assert.equal((await readTypes(store, id)).at(-1), 'approval.expired');
    await refuses(accept(store, id, [confirmation(question.id)]), 'approval_not_pending');
    assert.equal((await lease(store)).turn.isContinuation, true);
  }),

  'a turn that asks about its budget waits, and goes on with the answer': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const leased = await lease(store);
    const asked = await askBudget(store, id, turnId);
    assert.deepEqual([asked.kind, asked.state, asked.input], ['budget', 'pending', { budget: 'bud_one' }]);
    assert.equal((await askBudget(store, id, turnId)).id, asked.id, 'the same question is asked once');
    assert.notEqual((await askBudget(store, id, turnId, { subject: { more: 1 } })).id, asked.id);
    assert.deepEqual([(await getTurn(store, turnId)).state, (await getSession(store, id)).state], ['waiting_approval', 'waiting']);
    await refuses(accept(store, id, [confirmation(asked.id)]), 'event_not_found');
    const rest = (await store.approvals.list({ tenantId: TENANT, states: ['pending'], limit: 10, order: 'asc' })).data;
    await accept(store, id, [raise(rest[0]?.id ?? '')]);
    assert.equal((await getTurn(store, turnId)).state, 'waiting_approval', 'the other one is open');
    await accept(store, id, [raise(rest[1]?.id ?? '')]);
    assert.deepEqual([(await getTurn(store, turnId)).state, (await getSession(store, id)).state], ['running', 'running']);
    assert.equal((await store.approvals.find({ tenantId: TENANT, id: asked.id }))?.raiseMicros, 5);
    await finish(store, leased);
    await refuses(askBudget(store, id, turnId), 'turn_ended');
    await refuses(askBudget(store, id, 'trn_none'), 'turn_not_found');
  }),

  'a parked turn whose budget is not raised is taken up to be ended': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const leased = await lease(store);
    const asked = await askBudget(store, id, turnId);
    await append(store, leased, { state: 'waiting_approval', isParked: true });
    await accept(store, id, [raise(asked.id, 'denied')]);
    const taken = await lease(store);
    assert.deepEqual([taken.turn.id, taken.turn.cancelRequested], [turnId, true]);
  }),
};
