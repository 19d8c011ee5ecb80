import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { Store } from '../store.ts';
import { type Laws, law, readPages, refuses, T0, TENANT } from './kit.ts';

const BY_KEY = { type: 'api_actor', api_key_id: 'key_one' };
const BY_SESSION = { type: 'session_actor', session_id: 'ses_one' };
const newest = { limit: 100, order: 'desc' } as const;
const say = (content: string) => ({ content, sha256: `digest of ${content}`, sizeBytes: content.length });
const change = (now = T0, actor: Record<string, string> = BY_KEY) => ({ versionId: newId('memoryVersion'), actor, now });

async function createStore(store: Store) {
  const id = newId('memoryStore');
  return store.memory.createStore({ tenantId: TENANT, id, name: 'Notes', description: '', metadata: {}, now: T0 });
}

async function create(store: Store, storeId: string, path: string, text = 'hello', max = 10) {
  return store.memory.create({ tenantId: TENANT, storeId, id: newId('memory'), path, ...say(text), ...change(), max });
}

export const memoryLaws: Laws = {
  'a memory is read, changed and removed under the digest that is expected': law(async (store) => {
    const { id: storeId } = await createStore(store);
    const key = { tenantId: TENANT, storeId };
    const made = await create(store, storeId, '/notes/a.md');
    assert.deepEqual([made.path, made.content, made.sha256], ['/notes/a.md', 'hello', 'digest of hello']);
    const text = say('changed');
    await refuses(store.memory.update({ ...key, ...change(), id: made.id, text, expected: 'another' }), 'memory_precondition_failed');
    const changed = await store.memory.update({ ...key, ...change(T0 + 1), id: made.id, text, expected: made.sha256 });
    assert.deepEqual([changed.content, changed.updatedAt], ['changed', T0 + 1]);
    assert.notEqual(changed.versionId, made.versionId);
    const same = await store.memory.update({ ...key, ...change(T0 + 2), id: made.id, text });
    assert.equal(same.versionId, changed.versionId, 'what changes nothing is no version');
    assert.equal((await store.memory.update({ ...key, ...change(T0 + 3), id: made.id, path: '/b.md' })).path, '/b.md');
    await refuses(store.memory.remove({ ...key, ...change(), id: made.id, expected: 'another' }), 'memory_precondition_failed');
    assert.equal(await store.memory.remove({ tenantId: 'other', storeId, ...change(), id: made.id }).catch(() => 'refused'), 'refused');
    assert.equal(await store.memory.remove({ ...key, ...change(T0 + 4, BY_SESSION), id: made.id }), true);
    assert.equal(await store.memory.remove({ ...key, ...change(), id: made.id }), false);
    await refuses(store.memory.update({ ...key, ...change(), id: made.id, text }), 'memory_not_found');
    assert.equal(await store.memory.find({ ...key, id: made.id }), undefined);
    const versions = await readPages((paging) => store.memory.listVersions({ ...key, memoryId: made.id, order: 'asc', ...paging }), 2);
    assert.deepEqual(
      versions.flat().map(({ operation, path, content }) => [operation, path, content]),
      [
        ['created', '/notes/a.md', 'hello'],
        ['modified', '/notes/a.md', 'changed'],
        ['modified', '/b.md', 'changed'],
        ['deleted', '/b.md', null],
      ],
    );
    const bySession = await store.memory.listVersions({ ...key, actor: { field: 'session_id', value: 'ses_one' }, ...newest });
    assert.deepEqual(
      bySession.data.map(({ operation, actor }) => [operation, actor]),
      [['deleted', BY_SESSION]],
    );
  }),

  'paths are files and directories, and none is both': law(async (store) => {
    const { id: storeId } = await createStore(store);
    const key = { tenantId: TENANT, storeId };
    const { id } = await create(store, storeId, '/a/b.md');
    for (const path of ['/a/b.md', '/a', '/a/b.md/c']) await refuses(create(store, storeId, path), 'memory_path_conflict');
    const other = await create(store, storeId, '/a/bc.md');
    await refuses(store.memory.update({ ...key, ...change(), id: other.id, path: '/a/b.md' }), 'memory_path_conflict');
    assert.equal((await store.memory.update({ ...key, ...change(), id, path: '/a/b.md' })).path, '/a/b.md');
    await refuses(create(store, storeId, '/c', 'x', 2), 'memory_limit_reached');
    assert.deepEqual(
      (await store.memory.list(key)).map(({ path }) => path),
      ['/a/b.md', '/a/bc.md'],
    );
    assert.deepEqual(await store.memory.list({ tenantId: 'other', storeId }), []);
  }),

  'a version is redacted for good, but not that of a memory there is': law(async (store) => {
    const { id: storeId } = await createStore(store);
    const key = { tenantId: TENANT, storeId };
    const made = await create(store, storeId, '/secret');
    await refuses(store.memory.redact({ ...key, id: made.versionId, actor: BY_KEY, now: T0 }), 'memory_version_current');
    await store.memory.update({ ...key, ...change(T0 + 1), id: made.id, text: say('public') });
    const redacted = await store.memory.redact({ ...key, id: made.versionId, actor: BY_KEY, now: T0 + 2 });
    assert.deepEqual(
      [redacted.content, redacted.path, redacted.sha256, redacted.redactedAt, redacted.redactedBy],
      [null, null, null, T0 + 2, BY_KEY],
    );
    assert.deepEqual(await store.memory.findVersion({ ...key, id: made.versionId }), redacted);
    await refuses(store.memory.redact({ ...key, id: 'memver_gone', actor: BY_KEY, now: T0 }), 'memory_version_not_found');
  }),

  'a store that is archived is read and not written, and goes with all that is in it': law(async (store) => {
    const { id } = await createStore(store);
    const made = await create(store, id, '/a');
    assert.equal((await store.memory.updateStore({ tenantId: TENANT, id, name: 'Other', now: T0 + 1 })).name, 'Other');
    const archived = await store.memory.archiveStore({ tenantId: TENANT, id, now: T0 + 2 });
    assert.equal(archived.archivedAt, T0 + 2);
    await refuses(create(store, id, '/b'), 'memory_store_archived');
    await refuses(store.memory.updateStore({ tenantId: TENANT, id, name: 'x', now: T0 }), 'memory_store_archived');
    assert.equal((await store.memory.find({ tenantId: TENANT, storeId: id, id: made.id }))?.content, 'hello');
    assert.deepEqual((await store.memory.listStores({ tenantId: TENANT, includeArchived: false, ...newest })).data, []);
    assert.equal((await store.memory.listStores({ tenantId: TENANT, includeArchived: true, ...newest })).data.length, 1);
    assert.equal(await store.memory.removeStore({ tenantId: 'other', id }), false);
    assert.equal(await store.memory.removeStore({ tenantId: TENANT, id }), true);
    assert.deepEqual(await store.memory.list({ tenantId: TENANT, storeId: id }), []);
    await refuses(create(store, id, '/b'), 'memory_store_not_found');
  }),
};
