import assert from 'node:assert/strict';
import { createSession, type Laws, law, NODE, newEvent, queue, refuses, T0, TENANT, VOLUME } from './kit.ts';

export const storeLaws: Laws = {
  'the installation keeps its id': law(async (store) => {
    const id = await store.installationId();
    assert.match(id, /^ins_/);
    assert.equal(await store.installationId(), id);
  }),

  'the check writes': law(async (store) => {
    await store.check({ now: T0 });
    await store.check({ now: T0 });
  }),

  'closing waits for what was begun, and refuses all after': law(async (store) => {
    const session = await createSession(store);
    const begun = [queue(store, session.id), queue(store, session.id), store.check({ now: T0 })];
    const closed = store.close();
    await Promise.all([
      ...begun,
      refuses(store.check({ now: T0 }), 'store_unavailable'),
      refuses(store.sessions.find({ tenantId: TENANT, id: session.id }), 'store_unavailable'),
      refuses(store.installationId(), 'store_unavailable'),
      refuses(
        store.turns.lease({ nodeId: NODE, volumeId: VOLUME, leaseMs: 0, running: newEvent('running'), now: T0 }),
        'store_unavailable',
      ),
    ]);
    await closed;
    await store.close();
    await refuses(store.turns.counts(), 'store_unavailable');
  }),
};
