import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { KeyScope } from '../../core/access.ts';
import type { Store } from '../store.ts';
import { createSession, type Laws, law, queue, readPages, refuses, T0, TENANT } from './kit.ts';

const hashOf = (char: string) => char.repeat(64);

async function createTenant(store: Store, id = TENANT): Promise<string> {
  await store.tenants.create({ id, name: `the ${id}`, now: T0 });
  return id;
}

function createKey(store: Store, hash: string, more: { tenantId?: string; id?: string; max?: number; scope?: KeyScope } = {}) {
  return store.apiKeys.create({
    tenantId: TENANT,
    id: newId('apiKey'),
    name: 'ci',
    role: 'member',
    scope: { type: 'tenant' },
    hash,
    hint: 'clo_k_ab…yz',
    createdBy: 'key:key_one',
    expiresAt: T0 + 1000,
    max: 10,
    now: T0,
    ...more,
  });
}

function createUser(store: Store, email: string, more: { tenantId?: string; role?: 'owner' | 'member'; subject?: string } = {}) {
  const user = { tenantId: TENANT, id: newId('user'), email, name: 'Ada', role: 'member', password: 'p', subject: null, now: T0 } as const;
  return store.users.create({ ...user, ...more });
}

function invite(store: Store, email: string, tokenHash: string, expiresAt = T0 + 1000) {
  const id = newId('invitation');
  return store.users.invite({ tenantId: TENANT, id, email, role: 'member', tokenHash, createdBy: 'system', expiresAt, now: T0 });
}

export const accessLaws: Laws = {
  'an API key is found by its hash, and the first with a hash stays': law(async (store) => {
    const key = { id: 'key_one', tenantId: TENANT, name: 'bootstrap', role: 'owner', hash: hashOf('a'), now: T0 } as const;
    await store.apiKeys.ensure({ ...key, isOperator: true });
    await store.apiKeys.ensure({ ...key, id: 'key_two', name: 'other', now: T0 + 1 });
    const found = await store.apiKeys.findByHash({ hash: key.hash });
    assert.deepEqual(
      [found?.id, found?.name, found?.role, found?.isOperator, found?.scope, found?.tenantState, found?.createdAt],
      ['key_one', 'bootstrap', 'owner', true, { type: 'tenant' }, 'active', T0],
    );
    assert.equal(await store.apiKeys.findByHash({ hash: hashOf('b') }), undefined);
    assert.equal((await store.tenants.find({ id: TENANT }))?.state, 'active');
  }),

  'a key keeps its scope, changes, is revoked and stays its tenant’s': law(async (store) => {
    await createTenant(store);
    const scopes = [
      { type: 'agent', agentId: 'agt_one' },
      { type: 'routes', groups: ['sessions', 'files'] },
    ] as const;
    for (const [index, scope] of scopes.entries()) {
      const { id } = await createKey(store, hashOf(String(index)), { scope });
      assert.deepEqual((await store.apiKeys.find({ tenantId: TENANT, id }))?.scope, scope);
    }
    const made = await createKey(store, hashOf('c'));
    assert.deepEqual(await createKey(store, hashOf('c'), { id: made.id }), made, 'a repeat makes nothing');
    const changed = await store.apiKeys.update({ tenantId: TENANT, id: made.id, role: 'viewer' });
    assert.deepEqual([changed.role, changed.name], ['viewer', 'ci']);
    for (const now of [T0 + 5, T0 + 3]) await store.apiKeys.touch({ tenantId: TENANT, id: made.id, now });
    assert.equal((await store.apiKeys.find(made))?.lastUsedAt, T0 + 5);
    for (const now of [T0 + 7, T0 + 9])
      assert.equal((await store.apiKeys.revoke({ tenantId: TENANT, id: made.id, now })).revokedAt, T0 + 7);
    assert.equal((await store.apiKeys.findByHash({ hash: hashOf('c') }))?.revokedAt, T0 + 7);
    assert.equal((await store.apiKeys.list({ tenantId: TENANT, includeRevoked: false, limit: 10, order: 'asc' })).data.length, 2);
    await readPages((page) => store.apiKeys.list({ tenantId: TENANT, includeRevoked: true, order: 'asc', ...page }), 2);
    const theirs = { tenantId: 'other', id: made.id };
    assert.equal(await store.apiKeys.find(theirs), undefined);
    await refuses(store.apiKeys.revoke({ ...theirs, now: T0 }), 'api_key_not_found');
    await refuses(store.apiKeys.update({ ...theirs, name: 'mine' }), 'api_key_not_found');
    await refuses(createKey(store, hashOf('d'), { max: 2 }), 'api_key_limit_reached');
  }),

  'a person is found to sign in, and signed in for a while': law(async (store) => {
    await createTenant(store);
    const user = await createUser(store, 'ada@example.org', { subject: 'iss sub' });
    await refuses(createUser(store, 'ada@example.org'), 'user_exists');
    await refuses(createUser(store, 'bob@example.org', { subject: 'iss sub' }), 'user_exists');
    await createTenant(store, 'other');
    await createUser(store, 'ada@example.org', { tenantId: 'other', subject: 'iss sub' });
    const found = await store.users.findByEmail({ email: 'ada@example.org', limit: 5 });
    assert.deepEqual(found.map(({ user: { tenantId } }) => tenantId).toSorted(), [TENANT, 'other']);
    assert.equal((await store.users.findBySubject({ tenantId: TENANT, subject: 'iss sub' }))?.id, user.id);
    const signIn = { tenantId: TENANT, id: newId('signIn'), userId: user.id, hash: hashOf('1'), expiresAt: T0 + 100, now: T0 };
    await store.users.signIn(signIn);
    await store.users.signIn({ ...signIn, id: newId('signIn'), hash: hashOf('2') });
    assert.equal((await store.users.findSignIn({ hash: hashOf('1'), now: T0 }))?.user.lastSignInAt, T0);
    assert.equal(await store.users.findSignIn({ hash: hashOf('1'), now: T0 + 100 }), undefined, 'it is over');
    await store.users.update({ tenantId: TENANT, id: user.id, password: 'new', keepSignIn: signIn.id, now: T0 });
    assert.equal(await store.users.findSignIn({ hash: hashOf('2'), now: T0 }), undefined, 'a new password ends the others');
    assert.equal(await store.users.endSignIns({ tenantId: 'other', userId: user.id }), 0);
    assert.equal((await store.users.findSignIn({ hash: hashOf('1'), now: T0 }))?.user.password, 'new');
    await store.users.update({ tenantId: TENANT, id: user.id, state: 'disabled', now: T0 });
    assert.equal(await store.users.findSignIn({ hash: hashOf('1'), now: T0 }), undefined);
    await store.users.remove({ tenantId: TENANT, id: user.id, now: T0 });
    await refuses(store.users.remove({ tenantId: TENANT, id: user.id, now: T0 }), 'user_not_found');
  }),

  'an invitation is used once, in time, and by who has its token': law(async (store) => {
    await createTenant(store);
    const open = await invite(store, 'ada@example.org', hashOf('1'));
    const newer = await invite(store, 'ada@example.org', hashOf('2'));
    const person = { userId: newId('user'), name: 'Ada', password: 'p', subject: null };
    await refuses(store.users.accept({ ...person, tokenHash: open.tokenHash, now: T0 }), 'invitation_invalid');
    await refuses(store.users.accept({ ...person, tokenHash: newer.tokenHash, now: T0 + 1000 }), 'invitation_invalid');
    assert.equal((await store.users.findInvitationFor({ tenantId: TENANT, email: 'ada@example.org', now: T0 }))?.id, newer.id);
    assert.equal(await store.users.revokeInvitation({ tenantId: 'other', id: newer.id }), false);
    const made = await store.users.accept({ ...person, tokenHash: newer.tokenHash, now: T0 });
    assert.deepEqual([made.email, made.role, made.tenantId], ['ada@example.org', 'member', TENANT]);
    await refuses(store.users.accept({ ...person, tokenHash: newer.tokenHash, now: T0 }), 'invitation_invalid');
    await refuses(invite(store, 'ada@example.org', hashOf('3')), 'user_exists');
    await invite(store, 'late@example.org', hashOf('4'), T0 + 1);
    assert.equal(await store.users.forgetExpired({ now: T0 + 1, limit: 10 }), 1);
  }),

  'a tenant keeps an owner': law(async (store) => {
    await createTenant(store);
    const [ada, bob] = [await createUser(store, 'a@x.example', { role: 'owner' }), await createUser(store, 'b@x.example')];
    const [one, other] = [
      { tenantId: TENANT, id: ada.id, now: T0 },
      { tenantId: TENANT, id: bob.id, now: T0 },
    ];
    await refuses(store.users.update({ ...one, role: 'member' }), 'last_owner');
    await refuses(store.users.update({ ...one, state: 'disabled' }), 'last_owner');
    await refuses(store.users.remove(one), 'last_owner');
    await store.users.update({ ...other, role: 'owner' });
    await store.users.update({ ...one, role: 'viewer' });
    await refuses(store.users.remove(other), 'last_owner');
    await store.apiKeys.ensure({ id: 'key_one', tenantId: TENANT, name: 'k', role: 'owner', hash: hashOf('a'), now: T0 });
    await store.users.remove(other);
  }),

  'a tenant is suspended, resumed, and removed with all it has and nothing else': law(async (store) => {
    for (const id of [TENANT, 'other']) {
      await createTenant(store, id);
      await createUser(store, 'ada@example.org', { tenantId: id });
      await createKey(store, hashOf(id === TENANT ? '1' : '2'), { tenantId: id });
      await createSession(store, { tenantId: id });
    }
    assert.equal(await store.tenants.create({ id: TENANT, name: 'again', now: T0 }), undefined);
    await queue(store, (await createSession(store)).id);
    assert.equal((await store.tenants.update({ id: TENANT, state: 'suspended', now: T0 })).state, 'suspended');
    assert.equal((await store.apiKeys.findByHash({ hash: hashOf('1') }))?.tenantState, 'suspended');
    assert.equal(await store.tenants.purge({ id: TENANT, limit: 100 }), 0, 'only one that is being deleted');
    await store.tenants.update({ id: TENANT, state: 'deleting', now: T0 });
    assert.equal((await store.tenants.update({ id: TENANT, state: 'active', now: T0 })).state, 'deleting');
    assert.equal((await store.tenants.list({ state: 'deleting', limit: 10, order: 'asc' })).data.length, 1);
    let rounds = 0;
    while ((await store.tenants.purge({ id: TENANT, limit: 3 })) > 0) rounds++;
    assert.ok(rounds > 2, 'in bounded batches');
    assert.equal(await store.tenants.find({ id: TENANT }), undefined);
    assert.equal(await store.apiKeys.findByHash({ hash: hashOf('1') }), undefined);
    const sessions = (tenantId: string) => store.sessions.list({ tenantId, includeArchived: true, limit: 10, order: 'asc' });
    assert.deepEqual([(await sessions(TENANT)).data.length, (await sessions('other')).data.length], [0, 1]);
    assert.equal((await store.users.findByEmail({ email: 'ada@example.org', limit: 5 })).length, 1);
    await refuses(store.tenants.update({ id: TENANT, name: 'x', now: T0 }), 'tenant_not_found');
  }),
};
