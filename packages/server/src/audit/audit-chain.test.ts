import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../base/clock.ts';
import { createLogger } from '../base/log.ts';
import { type ChainHead, createAuditSeal } from '../core/audit-chain.ts';
import { readSqliteAudit } from '../store/sqlite/maintenance.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { verifyChain } from './audit-log.ts';
import { openAuditSeals } from './key.ts';
import { createAuditSink } from './sink.ts';

const TENANT = 'default';
const ENTRIES = 24;
const log = createLogger({ level: 'silent', format: 'json' });
const seal = createAuditSeal(randomBytes(32));
const seals = { current: seal, find: (keyId: string) => (keyId === seal.keyId ? seal : undefined) };

it('an entry that comes while the last commit is being told of is written too', { timeout: 60_000 }, async () => {
  const store = await openSqliteStore({ file: ':memory:', clock: systemClock });
  const sink = createAuditSink({ store: store.audit, seals, clock: systemClock, log });
  const record = () => sink.record({ tenantId: TENANT, actor: 'system', action: 'agent.created', subject: 'agt' });
  // Each begins a different number of steps after the commit of the one before.
  for (let steps = 0; steps < 12; steps++) {
    const first = record();
    const second = first.then(async () => {
      for (let step = 0; step < steps; step++) await Promise.resolve();
      return record();
    });
    await second;
  }
  await sink.close();
  await store.close();
});

describe('a chain that somebody has worked on behind our back', () => {
  let directory: string;
  let original: string;
  let exported: ChainHead;

  before(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'cloister-audit-'));
    original = path.join(directory, 'original.db');
    const store = await openSqliteStore({ file: original, clock: systemClock });
    const sink = createAuditSink({ store: store.audit, seals, clock: systemClock, log });
    for (let index = 1; index <= ENTRIES; index++) {
      const detail = index % 3 === 0 ? undefined : { index };
      await sink.record({ tenantId: TENANT, actor: `user:${index}`, action: 'agent.created', subject: `agt_${index}`, detail });
      await sink.record({ tenantId: 'other', actor: 'system', action: 'key.created', subject: `key_${index}` });
    }
    exported = (await store.audit.head({ tenantId: TENANT })) ?? assert.fail('there is a head');
    await store.close();
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  let copies = 0;
  async function verify(work: (db: DatabaseSync) => void, head?: ChainHead) {
    const file = path.join(directory, `copy-${++copies}.db`);
    copyFileSync(original, file);
    const db = new DatabaseSync(file);
    for (const { name } of db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'audit_%'").all())
      db.exec(`DROP TRIGGER ${String(name)}`);
    work(db);
    db.close();
    const verdict = await readSqliteAudit(file, (store) => verifyChain({ store, seals, tenantId: TENANT, exported: head }));
    rmSync(file);
    return verdict;
  }
  type Verdict = Awaited<ReturnType<typeof verify>>;
  const names = ({ findings }: Verdict, kind: string, fromSeq: number, toSeq = fromSeq) =>
    findings.some((one) => one.kind === kind && one.fromSeq <= fromSeq && one.toSeq >= toSeq);

  it('holds when nobody did', async () => {
    const verdict = await verify(() => undefined, exported);
    assert.deepEqual([verdict.isIntact, verdict.entries, verdict.findings], [true, ENTRIES, []]);
  });

  it('names any edit of any column', async () => {
    const columns = fc.constantFrom('id', 'at', 'actor', 'action', 'subject', 'detail', 'previous', 'key_id', 'mac');
    await fc.assert(
      fc.asyncProperty(columns, fc.integer({ min: 1, max: ENTRIES }), fc.string({ minLength: 1 }), async (column, seq, value) => {
        const verdict = await verify((db) => {
          const changed = column === 'at' ? 1 : `x${value}`;
          db.prepare(`UPDATE audit_log SET ${column} = ? WHERE tenant_id = ? AND seq = ?`).run(changed, TENANT, seq);
        });
        assert.ok(names(verdict, column === 'key_id' ? 'key' : 'edited', seq), `${column} of ${seq}: ${JSON.stringify(verdict.findings)}`);
      }),
      { numRuns: 40 },
    );
  });

  it('names what was deleted, moved and cut off', async () => {
    const place = fc.integer({ min: 1, max: ENTRIES });
    await fc.assert(
      fc.asyncProperty(place, place, async (one, other) => {
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        const deleted = await verify((db) =>
          db.prepare('DELETE FROM audit_log WHERE tenant_id = ? AND seq BETWEEN ? AND ?').run(TENANT, from, to),
        );
        assert.ok(names(deleted, to === ENTRIES ? 'truncated' : 'deleted', from, to), JSON.stringify(deleted.findings));
        if (from === to) return;
        const swapped = await verify((db) => {
          const move = db.prepare('UPDATE audit_log SET seq = ? WHERE tenant_id = ? AND seq = ?');
          for (const [seq, was] of [
            [1000, from],
            [from, to],
            [to, 1000],
          ] as const)
            move.run(seq, TENANT, was);
        });
        assert.ok(names(swapped, 'reordered', from, to), JSON.stringify(swapped.findings));
      }),
      { numRuns: 25 },
    );
  });

  it('names what was put in', async () => {
    const copy = `INSERT INTO audit_log SELECT tenant_id, 25, id || 'x', at, actor, action, subject, detail, previous, key_id, mac
      FROM audit_log WHERE tenant_id = '${TENANT}' AND seq = 3`;
    const verdict = await verify((db) => db.exec(copy));
    assert.ok(names(verdict, 'edited', ENTRIES + 1) && !verdict.isIntact, JSON.stringify(verdict.findings));
    const foreign = await verify((db) =>
      db.exec(`UPDATE audit_log SET tenant_id = '${TENANT}', seq = 25, id = 'aud_x' WHERE tenant_id = 'other' AND seq = 24`),
    );
    assert.ok(names(foreign, 'edited', ENTRIES + 1), JSON.stringify(foreign.findings));
  });

  it('names a head that was changed, removed or put back', async () => {
    assert.ok(names(await verify((db) => db.exec(`DELETE FROM audit_heads WHERE tenant_id = '${TENANT}'`)), 'head', ENTRIES));
    assert.ok(names(await verify((db) => db.exec(`UPDATE audit_heads SET seq = 5 WHERE tenant_id = '${TENANT}'`)), 'head', 5));
    // With a head of before and all behind it gone, only a head that was kept elsewhere tells.
    const putBack = (db: DatabaseSync) => {
      const { mac } = db.prepare('SELECT mac FROM audit_log WHERE tenant_id = ? AND seq = 10').get(TENANT) ?? {};
      const headMac = seal.head({ tenantId: TENANT, seq: 10, mac: String(mac) });
      db.prepare('UPDATE audit_heads SET seq = 10, mac = ?, head_mac = ? WHERE tenant_id = ?').run(String(mac), headMac, TENANT);
      db.prepare('DELETE FROM audit_log WHERE tenant_id = ? AND seq > 10').run(TENANT);
    };
    assert.ok(names(await verify(putBack, exported), 'truncated', 11, ENTRIES));
    const all = await verify((db) => db.exec('DELETE FROM audit_log; DELETE FROM audit_heads'), exported);
    assert.ok(names(all, 'truncated', 1, ENTRIES));
  });

  it('the database itself refuses all of it', () => {
    const file = path.join(directory, 'kept.db');
    copyFileSync(original, file);
    const db = new DatabaseSync(file);
    for (const sql of [
      `UPDATE audit_log SET actor = 'x' WHERE seq = 1`,
      'DELETE FROM audit_log WHERE seq = 1',
      'UPDATE audit_heads SET seq = 1',
      'DELETE FROM audit_heads',
    ])
      assert.throws(() => db.exec(sql), /append-only/, sql);
    db.close();
  });

  it('a key is made once, and one that is no key is refused', () => {
    const dataDir = path.join(directory, 'keys-here');
    const first = openAuditSeals({ dataDir, keys: undefined, mayMake: true });
    assert.equal(openAuditSeals({ dataDir, keys: undefined, mayMake: false }).current.keyId, first.current.keyId);
    const two = [randomBytes(32).toString('hex'), randomBytes(32).toString('base64')].join(',');
    assert.notEqual(openAuditSeals({ dataDir, keys: two, mayMake: false }).current.keyId, first.current.keyId);
    for (const keys of ['short', 'a'.repeat(64), ''])
      assert.throws(() => openAuditSeals({ dataDir, keys, mayMake: false }), /CLOISTER_AUDIT_KEY/);
  });
});
