import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { Store } from '../store.ts';
import { createSession, type Laws, law, readPages, refuses, T0, TENANT } from './kit.ts';

async function createEnvironment(store: Store, now = T0) {
  return store.environments.create({ id: newId('environment'), tenantId: TENANT, definition: { name: 'node' }, now });
}

export const environmentLaws: Laws = {
  'an environment is created, updated, archived and removed': law(async (store) => {
    const created = await createEnvironment(store);
    const { id } = created;
    assert.deepEqual(created, { id, tenantId: TENANT, definition: { name: 'node' }, createdAt: T0, updatedAt: T0, archivedAt: null });
    const updated = await store.environments.update({ tenantId: TENANT, id, definition: { name: 'new' }, now: T0 + 1 });
    assert.deepEqual(updated, { ...created, definition: { name: 'new' }, updatedAt: T0 + 1 });
    const archived = await store.environments.archive({ tenantId: TENANT, id, now: T0 + 2 });
    assert.equal(archived.archivedAt, T0 + 2);
    assert.deepEqual(await store.environments.archive({ tenantId: TENANT, id, now: T0 + 3 }), archived);
    assert.deepEqual(await store.environments.find({ tenantId: TENANT, id }), archived);
    await refuses(store.environments.update({ tenantId: TENANT, id, definition: {}, now: T0 }), 'environment_archived');
    assert.equal(await store.environments.remove({ tenantId: TENANT, id }), true);
    assert.equal(await store.environments.remove({ tenantId: TENANT, id }), false);
    await refuses(store.environments.archive({ tenantId: TENANT, id, now: T0 }), 'environment_not_found');
  }),

  'an environment of another tenant is as good as missing': law(async (store) => {
    const { id } = await createEnvironment(store);
    const foreign = { tenantId: 'other', id, now: T0 };
    assert.equal(await store.environments.find(foreign), undefined);
    await refuses(store.environments.update({ ...foreign, definition: {} }), 'environment_not_found');
    await refuses(store.environments.archive(foreign), 'environment_not_found');
    assert.equal(await store.environments.remove(foreign), false);
    assert.deepEqual((await store.environments.list({ tenantId: 'other', includeArchived: true, limit: 9, order: 'asc' })).data, []);
    assert.ok(await store.environments.find({ tenantId: TENANT, id }));
  }),

  'environments are listed by time of creation, without the archived unless asked': law(async (store) => {
    const all = [];
    for (let index = 0; index < 5; index++) all.push(await createEnvironment(store, T0 + index));
    const gone = all[3];
    assert(gone !== undefined);
    await store.environments.archive({ tenantId: TENANT, id: gone.id, now: T0 });
    const list = async (includeArchived: boolean) => {
      const pages = await readPages(
        (paging) => store.environments.list({ tenantId: TENANT, includeArchived, order: 'desc', ...paging }),
        2,
      );
      return pages.flat().map((environment) => environment.id);
    };
    const ids = all.map((environment) => environment.id).reverse();
    assert.deepEqual(await list(true), ids);
    assert.deepEqual(
      await list(false),
      ids.filter((id) => id !== gone.id),
    );
  }),

  'a session keeps its copy when the environment goes': law(async (store) => {
    const { id } = await createEnvironment(store);
    const session = await createSession(store);
    await store.environments.remove({ tenantId: TENANT, id });
    assert.deepEqual((await store.sessions.find({ tenantId: TENANT, id: session.id }))?.environment, { name: 'here' });
  }),
};
