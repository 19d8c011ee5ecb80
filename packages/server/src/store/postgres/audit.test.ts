import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { createManualClock } from '../../../test/support/manual-clock.ts';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../../../test/support/postgres-stores.ts';
import { verifyChain } from '../../audit/audit-log.ts';
import { createAuditSink } from '../../audit/sink.ts';
import { createLogger } from '../../base/log.ts';
import { createAuditSeal } from '../../core/audit-chain.ts';
import { readPostgresAudit } from './maintenance.ts';

const log = createLogger({ level: 'silent', format: 'json' });
const seal = createAuditSeal(randomBytes(32));
const seals = { current: seal, find: (keyId: string) => (keyId === seal.keyId ? seal : undefined) };

describe('the audit of several servers', { skip: skipWithoutPostgres, timeout: 120_000 }, () => {
  let stores: PostgresStores;
  before(async () => {
    stores = await startPostgresStores();
  });
  after(() => stores.close());

  it('is one chain, which the database itself keeps as it is', async () => {
    const url = await stores.createDatabase();
    const servers = [await stores.open(url), await stores.open(url), await stores.open(url)];
    const clock = createManualClock();
    const sinks = servers.map(({ audit: store }) => createAuditSink({ store, seals, clock, log }));
    const acts = Array.from({ length: 60 }, (_, index) =>
      (sinks[index % sinks.length] ?? assert.fail('there are three')).record({
        tenantId: 'default',
        actor: `user:${index}`,
        action: 'agent.created',
        subject: `agt_${index}`,
      }),
    );
    await Promise.all(acts);
    const verify = () => readPostgresAudit(url, (store) => verifyChain({ store, seals, tenantId: 'default' }));
    const verdict = await verify();
    assert.deepEqual([verdict.entries, verdict.lastSeq, verdict.findings], [60, 60, []]);
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      for (const sql of [
        `UPDATE audit_log SET actor = 'x' WHERE seq = 1`,
        'DELETE FROM audit_log WHERE seq = 1',
        'TRUNCATE audit_log',
        'UPDATE audit_heads SET seq = 1',
        'DELETE FROM audit_heads',
      ])
        await assert.rejects(client.query(sql), /append-only/, sql);
      await client.query('ALTER TABLE audit_log DISABLE TRIGGER ALL');
      await client.query(`UPDATE audit_log SET subject = 'agt_x' WHERE seq = 7`);
      await client.query('DELETE FROM audit_log WHERE seq = 9');
    } finally {
      await client.end();
    }
    assert.deepEqual((await verify()).findings.map(({ kind, fromSeq, toSeq }) => `${kind} ${fromSeq} ${toSeq}`).toSorted(), [
      'deleted 9 9',
      'edited 7 7',
    ]);
    await Promise.all(servers.map((store) => store.close()));
  });
});
