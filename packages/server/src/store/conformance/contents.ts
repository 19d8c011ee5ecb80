import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { NewSkillVersion, Store } from '../store.ts';
import { type Laws, law, readPages, refuses, T0, TENANT } from './kit.ts';

/** A blob that is whole and nobody's. */
async function writeBlob(store: Store, pieces: readonly string[] = ['aGVsbG8=']) {
  const blobId = newId('blob');
  await store.blobs.begin({ tenantId: TENANT, id: blobId, now: T0 });
  for (const [number, data] of pieces.entries()) await store.blobs.append({ tenantId: TENANT, id: blobId, number, data });
  return { blobId, sha256: 'digest', sizeBytes: 5 };
}

async function createFile(store: Store, more: { id?: string; expiresAt?: number; now?: number } = {}) {
  const id = more.id ?? newId('file');
  const common = { filename: 'a.txt', mimeType: 'text/plain', expiresAt: more.expiresAt ?? null, now: more.now ?? T0 };
  return store.files.create({ tenantId: TENANT, id, ...(await writeBlob(store)), ...common });
}

async function newVersion(store: Store, name = 'reports'): Promise<NewSkillVersion> {
  return { id: newId('skillVersion'), name, description: 'Writes reports.', ...(await writeBlob(store)) };
}

const newest = { limit: 100, order: 'desc' } as const;

export const contentLaws: Laws = {
  'a blob is read in its pieces, and goes when nobody names it': law(async (store) => {
    const { blobId: id } = await writeBlob(store, ['YQ==', 'Yg==']);
    const chunk = (number: number, tenantId = TENANT) => store.blobs.chunk({ tenantId, id, number });
    assert.deepEqual([await chunk(0), await chunk(1), await chunk(2)], ['YQ==', 'Yg==', undefined]);
    assert.equal(await chunk(0, 'other'), undefined);
    assert.equal(await store.blobs.sweep({ tenantId: TENANT, before: T0, limit: 10 }), 0);
    assert.equal(await store.blobs.sweep({ tenantId: TENANT, before: T0 + 1, limit: 10 }), 1);
    assert.equal(await chunk(0), undefined);
    await refuses(store.blobs.append({ tenantId: TENANT, id, number: 2, data: 'Yw==' }), 'file_not_found');
    const file = await createFile(store);
    await store.blobs.discard({ tenantId: TENANT, id: file.blobId });
    assert.equal(await store.blobs.sweep({ tenantId: TENANT, before: T0 + 9, limit: 10 }), 0);
    assert.equal(await store.blobs.chunk({ tenantId: TENANT, id: file.blobId, number: 0 }), 'aGVsbG8=');
  }),

  'a file is found and listed by its own tenant until it is removed or its time is over': law(async (store) => {
    const files = [];
    for (let index = 0; index < 4; index++) files.push(await createFile(store, { now: T0 + index }));
    const [first] = files;
    assert(first !== undefined);
    assert.deepEqual(await createFile(store, { id: first.id }), first, 'made once');
    const now = T0 + 10;
    const pages = await readPages((paging) => store.files.list({ tenantId: TENANT, now, order: 'desc', ...paging }), 3);
    assert.deepEqual(pages.flat(), files.toReversed());
    const some = await store.files.list({ tenantId: TENANT, now, ids: [first.id, 'file_gone'], ...newest });
    assert.deepEqual(some.data, [first]);
    assert.equal(await store.files.find({ tenantId: 'other', id: first.id, now }), undefined);
    assert.equal(await store.files.remove({ tenantId: 'other', id: first.id }), false);
    assert.equal(await store.files.remove({ tenantId: TENANT, id: first.id }), true);
    assert.equal(await store.files.find({ tenantId: TENANT, id: first.id, now }), undefined);
    assert.equal(await store.blobs.chunk({ tenantId: TENANT, id: first.blobId, number: 0 }), undefined);
    const brief = await createFile(store, { expiresAt: T0 + 50 });
    assert.deepEqual(await store.files.find({ tenantId: TENANT, id: brief.id, now: T0 + 49 }), brief);
    assert.equal(await store.files.find({ tenantId: TENANT, id: brief.id, now: T0 + 50 }), undefined);
    assert.equal(await store.files.expire({ tenantId: TENANT, now: T0 + 50, limit: 10 }), 1);
  }),

  'a skill has versions, of which the newest is the latest': law(async (store) => {
    const [one, two] = [await newVersion(store), await newVersion(store)];
    const id = newId('skill');
    const skill = await store.skills.create({ tenantId: TENANT, id, displayName: 'Reports', version: one, now: T0 });
    assert.equal(skill.latestVersionId, one.id);
    const added = await store.skills.addVersion({ tenantId: TENANT, skillId: id, version: two, now: T0 + 1 });
    assert.deepEqual([added.id, added.name, added.blobId], [two.id, 'reports', two.blobId]);
    assert.equal((await store.skills.find({ tenantId: TENANT, id }))?.latestVersionId, two.id);
    const versions = await store.skills.listVersions({ tenantId: TENANT, skillId: id, ...newest });
    assert.deepEqual(
      versions.data.map((version) => version.id),
      [two.id, one.id],
    );
    assert.equal(await store.skills.findVersion({ tenantId: 'other', skillId: id, id: one.id }), undefined);
    await refuses(
      store.skills.addVersion({ tenantId: 'other', skillId: id, version: await newVersion(store), now: T0 }),
      'skill_not_found',
    );
    assert.equal(await store.skills.removeVersion({ tenantId: TENANT, skillId: id, id: two.id, now: T0 + 2 }), true);
    assert.equal((await store.skills.find({ tenantId: TENANT, id }))?.latestVersionId, one.id);
    await refuses(store.skills.removeVersion({ tenantId: TENANT, skillId: id, id: one.id, now: T0 }), 'skill_version_needed');
    assert.equal((await store.skills.list({ tenantId: TENANT, ...newest })).data.length, 1);
    assert.equal(await store.skills.remove({ tenantId: TENANT, id }), true);
    assert.equal(await store.blobs.chunk({ tenantId: TENANT, id: one.blobId, number: 0 }), undefined);
  }),
};
