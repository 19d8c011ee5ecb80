import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { makeSchema, withAdminClient } from '../../src/store/postgres/migrate.ts';
import { MIGRATIONS as POSTGRES } from '../../src/store/postgres/migrations/all.ts';
import { checksumOf } from '../../src/store/sql/migrations.ts';
import { openWriter } from '../../src/store/sqlite/connection.ts';
import { examineSqlite } from '../../src/store/sqlite/copy.ts';
import { migrate } from '../../src/store/sqlite/migrate.ts';
import { MIGRATIONS } from '../../src/store/sqlite/migrations/all.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../support/postgres-stores.ts';
import { runCli } from '../support/run-cli.ts';

/** The version before this one: its tables were made by so many steps, and these were they. */
const FORMER = 10;
const FORMER_SUMS =
  '64384f2575173038 bd12dd10a520970f 3e56a278d43c21ee 2b251c62fc0d5223 2b2dd5fdb65c93d6 5556d93707ccb544 5b07b5e3ddb7c81b 809ed123aa883c67 6236cae16ba057f7 7dc74fc77c58f7ac';

/** What that version had written of a conversation. */
const ROWS = [
  "INSERT INTO installation (id, created_at) VALUES ('ins_former', 1)",
  "INSERT INTO agents (tenant_id, id, version, created_at) VALUES ('default', 'agt_one', 1, 2)",
  `INSERT INTO agent_versions (tenant_id, agent_id, version, definition, created_at) VALUES ('default', 'agt_one', 1, '{"name":"Ada"}', 2)`,
  `INSERT INTO environments (tenant_id, id, definition, created_at, updated_at) VALUES ('default', 'env_one', '{"name":"here"}', 2, 2)`,
  `INSERT INTO api_keys (tenant_id, id, name, role, hash, created_at) VALUES ('default', 'key_one', 'admin', 'admin', '${'a'.repeat(64)}', 2)`,
  `INSERT INTO sessions (tenant_id, id, agent_id, agent_version, environment_id, metadata, state, last_seq, created_at, updated_at)
    VALUES ('default', 'ses_one', 'agt_one', 1, 'env_one', '{}', 'idle', 2, 3, 3)`,
  `INSERT INTO events (tenant_id, session_id, seq, id, type, payload, created_at)
    VALUES ('default', 'ses_one', 1, 'evt_one', 'user.message', '{"content":[{"type":"text","text":"from before"}]}', 4)`,
  `INSERT INTO events (tenant_id, session_id, seq, id, type, payload, created_at)
    VALUES ('default', 'ses_one', 2, 'evt_two', 'session.status_idle', '{}', 5)`,
];

let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'cloister-upgrade-'));
});
after(() => rm(dir, { recursive: true, force: true }));

async function requireRows(store: Store): Promise<void> {
  assert.equal(await store.installationId(), 'ins_former');
  assert.deepEqual([...(await store.sessions.existing({ ids: ['ses_one', 'ses_two'] }))], ['ses_one']);
  assert.ok((await store.agents.inUse({ ids: ['agt_one'] })).has('agt_one'));
}

describe('an upgrade of SQLite from the version before', () => {
  it('is announced, backed up, and keeps every row', async () => {
    assert.equal(
      MIGRATIONS.slice(0, FORMER)
        .map((one) => checksumOf(one).slice(0, 16))
        .join(' '),
      FORMER_SUMS,
    );
    const dataDir = path.join(dir, 'data');
    const file = path.join(dataDir, 'cloister.db');
    mkdirSync(dataDir);
    const db = openWriter(file);
    migrate(db, MIGRATIONS.slice(0, FORMER), 1);
    for (const sql of ROWS) db.exec(sql);
    db.close();
    const env = { DATA_DIR: dataDir, CLOISTER_RUNTIME: 'fake', PORT: '1' };
    const check = await runCli(env, ['upgrade', '--check', '--json']);
    assert.equal(check.code, 0, check.stderr);
    const report = JSON.parse(check.stdout.toString());
    assert.deepEqual([report.database.version, report.database.pending.length], [FORMER, MIGRATIONS.length - FORMER]);
    assert.match(report.backup, /before the migration/);
    assert.equal(existsSync(path.join(dataDir, 'backups')), false, 'it only looked');

    const store = await openSqliteStore({ file, clock: systemClock });
    await requireRows(store);
    await store.close();
    const [copy, ...more] = readdirSync(path.join(dataDir, 'backups'));
    assert.match(copy ?? '', new RegExp(`^before-${MIGRATIONS.length}-\\d{8}T\\d{6}Z\\.db$`));
    assert.deepEqual(more, []);
    const kept = path.join(dir, 'kept.db');
    copyFileSync(path.join(dataDir, 'backups', copy ?? ''), kept);
    assert.equal(examineSqlite(kept).schemaVersion, FORMER);
    const again = await openSqliteStore({ file: kept, clock: systemClock, keepsBefore: false });
    await requireRows(again);
    await again.close();
    assert.equal(existsSync(path.join(dir, 'backups')), false, 'none where none is wanted');
  });
});

describe('an upgrade of PostgreSQL from the version before', { skip: skipWithoutPostgres, timeout: 120_000 }, () => {
  let stores: PostgresStores;
  before(async () => {
    stores = await startPostgresStores();
  });
  after(() => stores?.close());

  it('is backed up, keeps every row, and the backup can be restored', async () => {
    const [url, other] = [await stores.postgres.createDatabase(), await stores.postgres.createDatabase()];
    await withAdminClient(url, async (client) => {
      await makeSchema(client, POSTGRES.slice(0, FORMER), 1);
      for (const sql of ROWS) await client.query(sql);
    });
    const dataDir = path.join(dir, 'postgres');
    const migrated = await runCli({ DATA_DIR: dataDir, DATABASE_URL: url }, ['db', 'migrate']);
    assert.equal(migrated.code, 0, migrated.stderr);
    await requireRows(await stores.open(url));
    const [copy] = readdirSync(path.join(dataDir, 'backups'));
    assert.match(copy ?? '', /^before-\d+-\d{8}T\d{6}Z\.tar\.gz$/);
    const restored = await runCli({ DATABASE_URL: other }, [
      'restore',
      path.join(dataDir, 'backups', copy ?? ''),
      '--into',
      path.join(dir, 'restored'),
    ]);
    assert.equal(restored.code, 0, restored.stderr);
    await requireRows(await stores.open(other));
  });
});
