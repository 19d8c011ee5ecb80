import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { AdapterSessionStore, Store } from '../store.ts';
import { accept, createSession, interrupt, type Laws, law, newEvent, queue, readPages, refuses, T0, TENANT } from './kit.ts';

const scope = { tenantId: TENANT, adapter: 'claude-agent-http' };

async function userSession(store: Store, userId: string, more: Partial<Parameters<AdapterSessionStore['claim']>[0]> = {}): Promise<string> {
  const { id } = await createSession(store, { now: more.now ?? T0 });
  await store.adapterSessions.claim({ ...scope, sessionId: id, userId, data: {}, now: T0, ...more });
  return id;
}

const remove = (store: Store, id: string) => store.sessions.remove({ tenantId: TENANT, id, event: newEvent('session.deleted'), now: T0 });

export const adapterLaws: Laws = {
  'sessions of users are found by their user, count their messages, and go with the session': law(async (store) => {
    const first = await userSession(store, 'ada', { data: { metadata: { env: 'production', deep: [1, { a: null }] } } });
    const second = await userSession(store, 'ada', { now: T0 + 1 });
    const other = await userSession(store, 'bob', { now: T0 + 2 });
    await queue(store, first);
    await queue(store, first);
    const row = await store.adapterSessions.find({ ...scope, sessionId: first });
    assert.deepEqual([row?.userId, row?.messages, row?.createdAt], ['ada', 2, T0]);
    assert.deepEqual(row?.data, { metadata: { env: 'production', deep: [1, { a: null }] } });
    assert.equal(await store.adapterSessions.find({ ...scope, tenantId: 'other', sessionId: first }), undefined);
    assert.equal(await store.adapterSessions.find({ ...scope, adapter: 'noclaw', sessionId: first }), undefined);
    const ids = async (userId?: string) =>
      (await readPages((paging) => store.adapterSessions.list({ ...scope, userId, order: 'asc', ...paging }), 1))
        .flat()
        .map(({ sessionId }) => sessionId);
    assert.deepEqual(await ids('ada'), [first, second]);
    assert.deepEqual(await ids(), [first, second, other]);
    const active = await store.adapterSessions.list({ ...scope, activeAfter: T0, limit: 10, order: 'asc' });
    assert.deepEqual(
      active.data.map(({ sessionId }) => sessionId),
      [second, other],
    );
    await remove(store, second);
    assert.deepEqual(await ids('ada'), [first]);
  }),

  'a user has no more sessions than allowed, of those that are active': law(async (store) => {
    await userSession(store, 'ada', { max: 2 });
    const second = await userSession(store, 'ada', { max: 2 });
    const third = newId('session');
    const claim = { ...scope, userId: 'ada', data: {}, max: 2, now: T0 };
    await refuses(store.adapterSessions.claim({ ...claim, sessionId: third }), 'user_session_limit_reached');
    // A repeat is no other one; nor is another user, another tenant, or one that was not active.
    await store.adapterSessions.claim({ ...claim, sessionId: second });
    await store.adapterSessions.claim({ ...claim, sessionId: newId('session'), userId: 'bob' });
    await store.adapterSessions.claim({ ...claim, sessionId: newId('session'), tenantId: 'other' });
    await store.adapterSessions.claim({ ...claim, sessionId: newId('session'), activeAfter: T0 + 5 });
    await remove(store, second);
    // What was claimed and is not made yet counts too, for a minute.
    await refuses(store.adapterSessions.claim({ ...claim, sessionId: third }), 'user_session_limit_reached');
    await store.adapterSessions.claim({ ...claim, sessionId: third, now: T0 + 61_000 });
    await store.adapterSessions.unclaim({ ...scope, sessionId: third });
    await store.adapterSessions.claim({ ...claim, sessionId: newId('session'), now: T0 + 61_000 });
    assert.equal(await store.adapterSessions.find({ ...scope, sessionId: third }), undefined);
  }),

  'of claims those are purged that came to nothing, and idle sessions are told of by age': law(async (store) => {
    const kept = await userSession(store, 'ada');
    await store.adapterSessions.claim({ ...scope, sessionId: newId('session'), userId: 'ada', data: {}, now: T0 });
    assert.equal(await store.adapterSessions.purge({ before: T0, limit: 10 }), 0);
    assert.equal(await store.adapterSessions.purge({ before: T0 + 1, limit: 10 }), 1);
    const { adapter } = scope;
    assert.deepEqual(await store.adapterSessions.idle({ adapter, before: T0, limit: 10 }), []);
    assert.deepEqual(await store.adapterSessions.idle({ adapter, before: T0 + 1, limit: 10 }), [{ tenantId: TENANT, sessionId: kept }]);
    await queue(store, kept);
    assert.equal((await store.adapterSessions.find({ ...scope, sessionId: kept }))?.messages, 1);
  }),

  'the end of a turn that has a callback makes its delivery, once': law(async (store) => {
    const { id: sessionId } = await createSession(store);
    const turnIds = [newId('turn'), newId('turn')] as const;
    const [turnId] = turnIds;
    const callback = {
      tenantId: TENANT,
      sessionId,
      adapter: 'noclaw',
      url: 'https://example.com/in',
      secret: 'whsec_a',
      data: { user: 'ada' },
    };
    await store.callbacks.add({ ...callback, turnId, targetId: 'cbk_one', now: T0 });
    const found = await store.callbacks.find({ tenantId: TENANT, turnId });
    assert.deepEqual(found, { ...callback, turnId, createdAt: T0 });
    assert.equal(await store.callbacks.find({ tenantId: 'other', turnId }), undefined);
    for (const one of turnIds) {
      const event = { ...newEvent('user.message'), processedAt: null, effect: { kind: 'message' as const, turnId: one } };
      await accept(store, sessionId, [event]);
      await accept(store, sessionId, [interrupt(one)]);
    }
    const { data } = await store.outbox.list({ tenantId: TENANT, targetId: 'cbk_one', limit: 10, order: 'asc' });
    assert.deepEqual(
      data.map((row) => [row.kind, row.data, row.sessionId]),
      [['callback', { turn_id: turnId }, sessionId]],
    );
    assert.equal(await store.callbacks.purge({ before: T0 + 1, limit: 10 }), 1);
    assert.equal(await store.callbacks.find({ tenantId: TENANT, turnId }), undefined);
  }),
};
