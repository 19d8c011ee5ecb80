import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Client } from 'pg';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../../../test/support/postgres-stores.ts';
import { refuses } from '../conformance/kit.ts';
import type { Migration } from '../sql/migrations.ts';
import { openWriter } from '../sqlite/connection.ts';
import { migrate as migrateSqlite } from '../sqlite/migrate.ts';
import { MIGRATIONS as SQLITE_MIGRATIONS } from '../sqlite/migrations/all.ts';
import { BOOTS_TABLE } from './boots.ts';
import { prepareDatabase, withAdminClient } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';

const INSTALLATION = 'CREATE TABLE installation (id TEXT PRIMARY KEY, created_at BIGINT NOT NULL)';
const one: Migration = { version: 1, name: 'one', sql: `${INSTALLATION}; CREATE TABLE one (a BIGINT)` };
const two: Migration = { version: 2, name: 'two', sql: 'CREATE TABLE two (a BIGINT)' };

const COLUMNS = `SELECT table_name || '.' || column_name || CASE WHEN is_nullable = 'NO' THEN ' not null' ELSE '' END AS name
  FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1`;
const INDEXES = `SELECT indexname AS name FROM pg_indexes WHERE schemaname = 'public' AND indexname !~ '_(pkey|key)$' ORDER BY 1`;
const FOREIGN_KEYS = `SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) AS name FROM pg_constraint WHERE contype = 'f' ORDER BY 1`;

async function names(client: Client, sql: string): Promise<string[]> {
  return (await client.query<{ name: string }>(sql)).rows.map(({ name }) => name);
}

describe('migrations of PostgreSQL', { skip: skipWithoutPostgres, timeout: 60_000 }, () => {
  let stores: PostgresStores;
  before(async () => {
    stores = await startPostgresStores();
  });
  after(() => stores.close());

  const prepare = (url: string, migrations: readonly Migration[]) =>
    withAdminClient(url, (client) => prepareDatabase(client, migrations, 1));
  const tables = (url: string) =>
    withAdminClient(url, (client) => names(client, "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"));

  test('servers that start at once make each step once and agree on the installation', async () => {
    const url = await stores.postgres.createDatabase();
    const opened = await Promise.all(Array.from({ length: 6 }, () => stores.open(url)));
    assert.equal(new Set(await Promise.all(opened.map((store) => store.installationId()))).size, 1);
    const applied = await withAdminClient(url, (client) => names(client, 'SELECT name FROM schema_migrations ORDER BY version'));
    assert.deepEqual(
      applied,
      MIGRATIONS.map(({ name }) => name),
    );
  });

  test('one that was changed is refused, and so is a database of a later version', async () => {
    const url = await stores.postgres.createDatabase();
    await prepare(url, [one]);
    await refuses(prepare(url, [{ ...one, sql: `${one.sql} ` }, two]), 'store_schema_changed');
    assert.deepEqual(await tables(url), ['boots', 'installation', 'one', 'schema_migrations']);
    await prepare(url, [one, two]);
    await refuses(prepare(url, [one]), 'store_newer');
  });

  test('one that fails in the middle leaves nothing behind', async () => {
    const url = await stores.postgres.createDatabase();
    await prepare(url, [one]);
    await assert.rejects(prepare(url, [one, { ...two, sql: `${two.sql}; CREATE TABLE one (a BIGINT)` }]));
    assert.deepEqual(await tables(url), ['boots', 'installation', 'one', 'schema_migrations']);
    await prepare(url, [one, two]);
    assert.deepEqual(await tables(url), ['boots', 'installation', 'one', 'schema_migrations', 'two']);
  });

  test('both databases have the same steps, tables, columns and indexes', async () => {
    assert.deepEqual(
      MIGRATIONS.map(({ version, name }) => [version, name]),
      SQLITE_MIGRATIONS.map(({ version, name }) => [version, name]),
    );
    const db = openWriter(':memory:');
    migrateSqlite(db, SQLITE_MIGRATIONS, 1);
    const columns = db.all(`SELECT m.name || '.' || c.name || CASE WHEN c."notnull" = 1 OR c.pk > 0 THEN ' not null' ELSE '' END AS name
      FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1`);
    const indexes = db.all("SELECT name FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE 'sqlite_%' ORDER BY 1");
    const keys = db.all('SELECT DISTINCT m.name, k.id FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) k');
    const url = await stores.createDatabase();
    await withAdminClient(url, async (client) => {
      const sorted = (rows: readonly { readonly name?: unknown }[]) => rows.map(({ name }) => String(name)).toSorted();
      const own = (await names(client, COLUMNS)).filter((name) => !name.startsWith(`${BOOTS_TABLE}.`));
      assert.deepEqual(own.toSorted(), sorted(columns));
      assert.deepEqual((await names(client, INDEXES)).toSorted(), sorted(indexes));
      assert.equal((await names(client, FOREIGN_KEYS)).length, keys.length);
    });
  });
});
