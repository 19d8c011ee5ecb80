import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { Store } from '../store.ts';
import { createSession, type Laws, law, readPages, refuses, T0, TENANT } from './kit.ts';

type VaultInput = Partial<Parameters<Store['vaults']['create']>[0]>;
type CredentialInput = Partial<Parameters<Store['vaults']['createCredential']>[0]>;

function createVault(store: Store, input: VaultInput = {}) {
  const rest = { displayName: 'keys', metadata: {}, isDefault: false, agentIds: [], max: 100, now: T0 };
  return store.vaults.create({ tenantId: TENANT, id: newId('vault'), ...rest, ...input });
}

function createCredential(store: Store, vaultId: string, input: CredentialInput = {}) {
  return store.vaults.createCredential({
    tenantId: TENANT,
    vaultId,
    id: newId('credential'),
    kind: 'provider_key',
    target: 'anthropic',
    displayName: null,
    metadata: {},
    auth: { provider: 'anthropic' },
    sealed: 'sealed text',
    max: 20,
    now: T0,
    ...input,
  });
}

async function found(store: Store, search: { sessionId?: string | null; agentId?: string | null; target?: string; tenantId?: string }) {
  const input = { tenantId: TENANT, sessionId: null, agentId: null, target: 'anthropic', kinds: ['provider_key'] as const, ...search };
  return (await store.vaults.search(input)).map(({ credential, scope }) => [credential.sealed, scope]);
}

export const vaultLaws: Laws = {
  'a vault is created once, changed, archived with its credentials and removed': law(async (store) => {
    const created = await createVault(store, { metadata: { a: 'b' }, agentIds: ['agt_1'] });
    const { id } = created;
    assert.deepEqual([created.displayName, created.metadata, created.agentIds, created.isDefault], ['keys', { a: 'b' }, ['agt_1'], false]);
    assert.deepEqual(await createVault(store, { id, displayName: 'again' }), created);
    const updated = await store.vaults.update({ tenantId: TENANT, id, isDefault: true, agentIds: [], now: T0 + 1 });
    assert.deepEqual(updated, { ...created, isDefault: true, agentIds: [], updatedAt: T0 + 1 });
    const credential = await createCredential(store, id);
    const archived = await store.vaults.archive({ tenantId: TENANT, id, now: T0 + 2 });
    assert.equal(archived.archivedAt, T0 + 2);
    assert.deepEqual(await store.vaults.archive({ tenantId: TENANT, id, now: T0 + 3 }), archived);
    const gone = await store.vaults.findCredential({ tenantId: TENANT, vaultId: id, id: credential.id });
    assert.deepEqual([gone?.sealed, gone?.archivedAt], [null, T0 + 2]);
    await refuses(store.vaults.update({ tenantId: TENANT, id, now: T0 }), 'vault_archived');
    await refuses(createCredential(store, id), 'vault_archived');
    assert.equal(await store.vaults.remove({ tenantId: TENANT, id }), true);
    assert.equal(await store.vaults.remove({ tenantId: TENANT, id }), false);
    assert.equal(await store.vaults.findCredential({ tenantId: TENANT, vaultId: id, id: credential.id }), undefined);
    await refuses(store.vaults.archive({ tenantId: TENANT, id, now: T0 }), 'vault_not_found');
  }),

  'there are no more vaults and credentials than there may be': law(async (store) => {
    const { id } = await createVault(store, { max: 1 });
    await refuses(createVault(store, { max: 1 }), 'vault_limit_reached');
    await createCredential(store, id, { max: 1 });
    await refuses(createCredential(store, id, { max: 1, target: 'openai' }), 'credential_limit_reached');
    await refuses(createCredential(store, id), 'credential_exists');
    await refuses(createCredential(store, 'vlt_missing'), 'vault_not_found');
  }),

  'a new secret makes a new version, and only of the one that was read': law(async (store) => {
    const { id: vaultId } = await createVault(store);
    const { id } = await createCredential(store, vaultId);
    const key = { tenantId: TENANT, vaultId, id };
    const second = await store.vaults.updateCredential({ ...key, version: 1, sealed: 'second', now: T0 + 1 });
    assert.deepEqual([second?.version, second?.sealed], [2, 'second']);
    assert.equal(await store.vaults.updateCredential({ ...key, version: 1, sealed: 'lost', now: T0 + 2 }), undefined);
    const named = await store.vaults.updateCredential({ ...key, version: 2, displayName: 'mine', now: T0 + 3 });
    assert.deepEqual([named?.version, named?.sealed, named?.displayName], [2, 'second', 'mine']);
    const archived = await store.vaults.archiveCredential({ ...key, now: T0 + 4 });
    assert.deepEqual([archived.sealed, archived.archivedAt], [null, T0 + 4]);
    await refuses(store.vaults.updateCredential({ ...key, version: 2, now: T0 }), 'credential_archived');
    // What is archived is in nobody's way.
    await createCredential(store, vaultId);
    assert.equal(await store.vaults.removeCredential(key), true);
    await refuses(store.vaults.updateCredential({ ...key, version: 2, now: T0 }), 'credential_not_found');
    await refuses(store.vaults.archiveCredential({ ...key, now: T0 }), 'credential_not_found');
  }),

  "a search finds the session's before the agent's before the tenant's, and nothing else": law(async (store) => {
    const [second, first, agent, tenant, other] = [
      await createVault(store),
      await createVault(store),
      await createVault(store, { agentIds: ['agt_1'] }),
      await createVault(store, { isDefault: true }),
      await createVault(store),
    ];
    for (const [sealed, { id }] of Object.entries({ second, first, agent, tenant, other })) await createCredential(store, id, { sealed });
    const session = await store.sessions.create({
      ...(await createSession(store)),
      id: newId('session'),
      vaultIds: [first.id, second.id],
      now: T0,
    });
    assert.deepEqual(session.vaultIds, [first.id, second.id]);
    const all = [
      ['first', 'session'],
      ['second', 'session'],
      ['agent', 'agent'],
      ['tenant', 'tenant'],
    ];
    assert.deepEqual(await found(store, { sessionId: session.id, agentId: 'agt_1' }), all);
    assert.deepEqual(await found(store, { agentId: 'agt_1' }), all.slice(2));
    assert.deepEqual(await found(store, { agentId: 'agt_2' }), all.slice(3));
    assert.deepEqual(await found(store, { sessionId: session.id, target: 'openai' }), []);
    assert.deepEqual(await found(store, { sessionId: session.id, agentId: 'agt_1', tenantId: 'other' }), []);
    await store.vaults.archive({ tenantId: TENANT, id: tenant.id, now: T0 });
    await store.vaults.update({ tenantId: TENANT, id: agent.id, agentIds: [], now: T0 });
    assert.deepEqual(await found(store, { sessionId: session.id, agentId: 'agt_1' }), all.slice(0, 2));
    assert.deepEqual(await store.vaults.targets({ tenantId: TENANT, kind: 'provider_key' }), ['anthropic']);
    assert.deepEqual(await store.vaults.targets({ tenantId: 'other', kind: 'provider_key' }), []);
  }),

  'vaults of another tenant are as good as missing': law(async (store) => {
    const { id: vaultId } = await createVault(store, { isDefault: true });
    const { id } = await createCredential(store, vaultId);
    const foreign = { tenantId: 'other', now: T0 };
    assert.equal(await store.vaults.find({ ...foreign, id: vaultId }), undefined);
    await refuses(store.vaults.update({ ...foreign, id: vaultId }), 'vault_not_found');
    await refuses(store.vaults.archive({ ...foreign, id: vaultId }), 'vault_not_found');
    assert.equal(await store.vaults.remove({ ...foreign, id: vaultId }), false);
    assert.equal(await store.vaults.findCredential({ ...foreign, vaultId, id }), undefined);
    await refuses(createCredential(store, vaultId, foreign), 'vault_not_found');
    await refuses(store.vaults.updateCredential({ ...foreign, vaultId, id, version: 1 }), 'credential_not_found');
    await refuses(store.vaults.archiveCredential({ ...foreign, vaultId, id }), 'credential_not_found');
    assert.equal(await store.vaults.removeCredential({ ...foreign, vaultId, id }), false);
    assert.deepEqual(await found(store, { tenantId: 'other' }), []);
    const page = { limit: 9, order: 'asc', includeArchived: true } as const;
    assert.deepEqual((await store.vaults.list({ tenantId: 'other', ...page })).data, []);
    assert.deepEqual((await store.vaults.listCredentials({ tenantId: 'other', vaultId, ...page })).data, []);
  }),

  'vaults and credentials are listed by time of creation': law(async (store) => {
    const vaults = [];
    for (let index = 0; index < 5; index++) vaults.push(await createVault(store, { now: T0 + index }));
    const [vault] = vaults;
    assert.ok(vault);
    for (let index = 0; index < 5; index++) await createCredential(store, vault.id, { target: `${index}`, now: T0 + index });
    await store.vaults.archive({ tenantId: TENANT, id: vaults[4]?.id ?? '', now: T0 });
    const list = (includeArchived: boolean) =>
      readPages((paging) => store.vaults.list({ tenantId: TENANT, includeArchived, order: 'desc', ...paging }), 2);
    const ids = vaults.map(({ id }) => id).reverse();
    assert.deepEqual(
      (await list(true)).flat().map(({ id }) => id),
      ids,
    );
    assert.deepEqual(
      (await list(false)).flat().map(({ id }) => id),
      ids.slice(1),
    );
    const pages = await readPages(
      (paging) => store.vaults.listCredentials({ tenantId: TENANT, vaultId: vault.id, includeArchived: true, order: 'asc', ...paging }),
      2,
    );
    assert.deepEqual(
      pages.flat().map(({ target }) => target),
      ['0', '1', '2', '3', '4'],
    );
  }),

  "a tenant may use the operator's keys until somebody says no": law(async (store) => {
    assert.equal(await store.vaults.mayUseManagedKeys({ tenantId: TENANT }), true);
    await store.vaults.setManagedKeys({ tenantId: TENANT, isAllowed: false, now: T0 });
    assert.equal(await store.vaults.mayUseManagedKeys({ tenantId: TENANT }), false);
    assert.equal(await store.vaults.mayUseManagedKeys({ tenantId: 'other' }), true);
    await store.vaults.setManagedKeys({ tenantId: TENANT, isAllowed: true, now: T0 });
    assert.equal(await store.vaults.mayUseManagedKeys({ tenantId: TENANT }), true);
  }),

  'there is one current encryption key, the first that was adopted until another is made current': law(async (store) => {
    assert.deepEqual(await store.sealed.keys(), []);
    assert.equal(await store.sealed.adopt({ id: 'a', now: T0 }), 'a');
    assert.equal(await store.sealed.adopt({ id: 'b', now: T0 + 1 }), 'a');
    await store.sealed.makeCurrent({ id: 'b', now: T0 + 1 });
    const keys = (await store.sealed.keys()).map(({ id, isCurrent }) => [id, isCurrent]);
    assert.deepEqual(keys, [
      ['a', false],
      ['b', true],
    ]);
    assert.equal(await store.sealed.forget({ id: 'b' }), false);
    assert.equal(await store.sealed.forget({ id: 'a' }), true);
    await store.sealed.makeCurrent({ id: 'b', now: T0 + 2 });
    assert.deepEqual(
      (await store.sealed.keys()).map(({ id }) => id),
      ['b'],
    );
  }),

  'sealed texts of all tenants are read in batches and replaced if they still are what was read': law(async (store) => {
    const sealed = new Map<string, string>();
    for (const tenantId of [TENANT, 'other'])
      for (let index = 0; index < 3; index++) {
        const vault = await createVault(store, { tenantId });
        const credential = await createCredential(store, vault.id, { tenantId, sealed: `${tenantId} ${index}` });
        sealed.set(credential.id, `${tenantId} ${index}`);
      }
    const seen = new Map<string, string>();
    let after = { tenantId: '', id: '' };
    for (;;) {
      const rows = await store.sealed.page({ table: 'vault_credentials', after, limit: 2 });
      const last = rows.at(-1);
      if (last === undefined) break;
      for (const row of rows) seen.set(row.id, row.text);
      after = last;
    }
    assert.deepEqual(seen, sealed);
    const [row] = await store.sealed.page({ table: 'vault_credentials', after: { tenantId: '', id: '' }, limit: 1 });
    assert.ok(row);
    const change = { table: 'vault_credentials', tenantId: row.tenantId, id: row.id } as const;
    assert.equal(await store.sealed.replace({ ...change, from: 'something else', to: 'new' }), false);
    assert.equal(await store.sealed.replace({ ...change, from: row.text, to: 'new' }), true);
    const [now] = await store.sealed.page({ table: 'vault_credentials', after: { tenantId: '', id: '' }, limit: 1 });
    assert.equal(now?.text, 'new');
    for (const table of ['webhooks', 'services', 'requests'] as const)
      assert.deepEqual(await store.sealed.page({ table, after: { tenantId: '', id: '' }, limit: 9 }), []);
  }),
};
