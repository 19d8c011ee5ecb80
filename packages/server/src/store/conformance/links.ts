import assert from 'node:assert/strict';
import { createSession, type Laws, law, newEvent, T0, TENANT } from './kit.ts';

const key = { tenantId: TENANT, kind: 'openai.user', name: 'ada' };

export const linkLaws: Laws = {
  'a name of a session is the first one’s who claims it': law(async (store) => {
    const [one, two] = [await createSession(store), await createSession(store)];
    assert.equal(await store.links.find(key), undefined);
    const first = { sessionId: one.id, turnId: null };
    assert.deepEqual(await store.links.claim({ ...key, ...first, now: T0 }), first);
    assert.deepEqual(await store.links.claim({ ...key, sessionId: two.id, turnId: null, now: T0 }), first);
    assert.deepEqual(await store.links.find(key), first);
    assert.equal(await store.links.find({ ...key, tenantId: 'other' }), undefined);
    assert.equal(await store.links.find({ ...key, kind: 'noclaw.user' }), undefined);
  }),
  'a name that replaces is the only one of its kind, and names go with their session': law(async (store) => {
    const { id } = await createSession(store);
    await store.links.claim({ ...key, sessionId: id, turnId: null, now: T0 });
    const put = (name: string, turnId: string) =>
      store.links.replace({ tenantId: TENANT, kind: 'openai.history', name, sessionId: id, turnId, now: T0 });
    await put('a', 'trn_1');
    await put('a', 'trn_2');
    await put('b', 'trn_3');
    const find = (name: string) => store.links.find({ tenantId: TENANT, kind: 'openai.history', name });
    assert.deepEqual([await find('a'), await find('b')], [undefined, { sessionId: id, turnId: 'trn_3' }]);
    assert.deepEqual(await store.links.find(key), { sessionId: id, turnId: null });
    await store.sessions.remove({ tenantId: TENANT, id, event: newEvent('session.deleted'), now: T0 });
    assert.deepEqual([await find('b'), await store.links.find(key)], [undefined, undefined]);
  }),
};
