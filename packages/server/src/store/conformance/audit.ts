import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createAuditSeal } from '../../core/audit-chain.ts';
import { checkChain } from '../../core/audit-verify.ts';
import type { NewAuditEntry, Store } from '../store.ts';
import { type Laws, law, readPages, T0, TENANT } from './kit.ts';

const seal = createAuditSeal(randomBytes(32));
const seals = { current: seal, find: (keyId: string) => (keyId === seal.keyId ? seal : undefined) };

let made = 0;
function entry(more: Partial<NewAuditEntry> = {}): NewAuditEntry {
  return { id: `aud_${++made}`, at: T0, actor: 'key:one', action: 'agent.created', subject: 'agt_one', detail: '{"name":"é"}', ...more };
}

const append = (store: Store, entries: readonly NewAuditEntry[], tenantId = TENANT) => store.audit.append({ tenantId, entries, seal });

async function verify(store: Store, tenantId = TENANT) {
  const [head, checkpoints] = [await store.audit.head({ tenantId }), await store.audit.checkpoints({ tenantId })];
  const check = checkChain({ tenantId, seals, head, checkpoints });
  for (const one of await store.audit.after({ tenantId, seq: 0, limit: 10_000 })) check.take(one);
  return check.end();
}

export const auditLaws: Laws = {
  'entries follow each other, each tenant by itself': law(async (store) => {
    await append(store, [entry(), entry()]);
    await append(store, [entry()], 'other');
    await append(store, [entry({ detail: null })]);
    const own = await store.audit.after({ tenantId: TENANT, seq: 0, limit: 10 });
    assert.deepEqual(
      own.map(({ seq, previous }) => [seq, previous]),
      [
        [1, ''],
        [2, own[0]?.mac],
        [3, own[1]?.mac],
      ],
    );
    assert.equal((await store.audit.head({ tenantId: TENANT }))?.mac, own[2]?.mac);
    assert.deepEqual((await verify(store)).findings, []);
    assert.equal((await verify(store, 'other')).entries, 1);
    assert.deepEqual([...(await store.audit.tenants())].sort(), [TENANT, 'other']);
  }),

  'entries that come at once are one chain': law(async (store) => {
    await Promise.all(Array.from({ length: 40 }, () => append(store, [entry(), entry()])));
    const verdict = await verify(store);
    assert.deepEqual([verdict.entries, verdict.lastSeq, verdict.findings], [80, 80, []]);
  }),

  'a commit that is repeated adds nothing': law(async (store) => {
    const entries = [entry(), entry()];
    await append(store, entries);
    await append(store, [...entries, entry()]);
    assert.equal((await verify(store)).entries, 3);
  }),

  'the listing goes by actor, action, subject and time': law(async (store) => {
    await append(store, [
      entry({ actor: 'user:ada' }),
      entry({ action: 'key.created', subject: 'key_x' }),
      entry({ at: T0 + 5 }),
      entry({ actor: 'user:ada', action: 'key.revoked', subject: 'key_x', at: T0 + 9 }),
    ]);
    const list = async (filter: object) =>
      (await store.audit.list({ tenantId: TENANT, limit: 10, order: 'desc', ...filter })).data.map(({ seq }) => seq);
    assert.deepEqual(await list({}), [4, 3, 2, 1]);
    assert.deepEqual(await list({ actor: 'user:ada' }), [4, 1]);
    assert.deepEqual(await list({ actions: ['key.created', 'key.revoked'] }), [4, 2]);
    assert.deepEqual(await list({ subject: 'agt_one' }), [3, 1]);
    assert.deepEqual(await list({ createdGte: T0 + 5, createdLt: T0 + 9 }), [3]);
    assert.deepEqual(await list({ tenantId: 'other' }), []);
    const pages = await readPages((paging) => store.audit.list({ tenantId: TENANT, order: 'asc', ...paging }), 3);
    assert.deepEqual(
      pages.map((page) => page.length),
      [3, 1],
    );
  }),

  'what is old is sealed before it goes, and the chain holds': law(async (store) => {
    await append(store, [entry(), entry(), entry({ at: T0 + 50 }), entry(), entry({ at: T0 + 60 })]);
    const purge = (before: number, limit = 100) =>
      store.audit.purge({
        tenantId: TENANT,
        before,
        limit,
        seal,
        entry: (through) => entry({ action: 'audit.sealed', subject: String(through), at: T0 + 70 }),
        now: T0 + 70,
      });
    assert.equal(await purge(T0), 0);
    assert.deepEqual(await store.audit.checkpoints({ tenantId: TENANT }), []);
    assert.equal(await purge(T0 + 50, 1), 1);
    assert.deepEqual((await verify(store)).findings, [], 'some are left of what is sealed');
    assert.equal(await purge(T0 + 50), 1);
    const verdict = await verify(store);
    assert.deepEqual([verdict.sealedThrough, verdict.entries, verdict.lastSeq, verdict.findings], [2, 4, 6, []]);
    assert.equal(await purge(T0 + 1000), 4 - 1, 'the newest before the seal stays');
    assert.deepEqual((await verify(store)).findings, []);
  }),
};
