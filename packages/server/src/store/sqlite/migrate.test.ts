import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ProblemCode } from '@cloister/api';
import { isPlatformError } from '../../base/errors.ts';
import { text } from '../sql/rows.ts';
import { APPROVAL_STATES, SESSION_STATES, TURN_STATES } from '../store.ts';
import { type Connection, openWriter } from './connection.ts';
import { type Migration, migrate } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';

const one: Migration = { version: 1, name: 'one', sql: 'CREATE TABLE one (a INTEGER) STRICT' };
const two: Migration = { version: 2, name: 'two', sql: 'CREATE TABLE two (a INTEGER) STRICT' };

function refuses(operation: () => void, code: ProblemCode): void {
  assert.throws(operation, (error) => isPlatformError(error, code));
}

function tables(db: Connection): readonly string[] {
  return db.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").map((row) => text(row, 'name'));
}

describe('migrations', () => {
  test('each is applied once, in order, and noted', () => {
    const db = openWriter(':memory:');
    migrate(db, [one], 1);
    migrate(db, [one, two], 2);
    migrate(db, [one, two], 3);
    assert.deepEqual(tables(db), ['one', 'schema_migrations', 'two']);
    assert.deepEqual(
      db
        .all('SELECT version, name, applied_at FROM schema_migrations ORDER BY version')
        .map((row) => [row.version, row.name, row.applied_at]),
      [
        [1, 'one', 1],
        [2, 'two', 2],
      ],
    );
  });

  test('one that was changed is refused', () => {
    const db = openWriter(':memory:');
    migrate(db, [one], 1);
    refuses(() => migrate(db, [{ ...one, sql: `${one.sql} ` }, two], 2), 'store_schema_changed');
    assert.deepEqual(tables(db), ['one', 'schema_migrations']);
  });

  test('a database of a later version is refused', () => {
    const db = openWriter(':memory:');
    migrate(db, [one, two], 1);
    refuses(() => migrate(db, [one], 2), 'store_newer');
  });

  test('one that fails in the middle leaves nothing behind', () => {
    const db = openWriter(':memory:');
    migrate(db, [one], 1);
    assert.throws(() => migrate(db, [one, { ...two, sql: `${two.sql}; CREATE TABLE one (a INTEGER)` }], 2));
    assert.deepEqual(tables(db), ['one', 'schema_migrations']);
    migrate(db, [one, two], 3);
    assert.deepEqual(tables(db), ['one', 'schema_migrations', 'two']);
  });

  test('the versions are 1, 2, 3 …', () => {
    assert.deepEqual(
      MIGRATIONS.map((migration) => migration.version),
      MIGRATIONS.map((_, index) => index + 1),
    );
  });
});

describe('schema', () => {
  const db = openWriter(':memory:');
  migrate(db, MIGRATIONS, 1);

  test('the checks allow the states of the port, and no others', () => {
    for (const [table, states] of [
      ['sessions', SESSION_STATES],
      ['turns', TURN_STATES],
      ['approvals', APPROVAL_STATES],
    ] as const) {
      const sql = text(db.get('SELECT sql FROM sqlite_schema WHERE name = :table', { table }) ?? {}, 'sql');
      const list = /state TEXT NOT NULL CHECK \(state IN \(([^)]*)\)\)/.exec(sql)?.[1] ?? assert.fail(`${table} has no check`);
      assert.deepEqual(
        list.split(', ').map((state) => state.slice(1, -1)),
        states,
      );
    }
  });

  test('every table of things has a tenant, and a foreign key goes through it', () => {
    // A port is its host's, whichever tenant's service has it.
    const ofTheInstallation = ['tenants', 'encryption_keys', 'plans', 'budget_version'];
    const own = ['duties', 'health', 'installation', 'nodes', 'schema_migrations', 'service_ports', ...ofTheInstallation];
    for (const table of tables(db)) {
      if (own.includes(table)) continue;
      const columns = db.all('SELECT name FROM pragma_table_info(:table)', { table }).map((row) => row.name);
      assert.ok(columns.includes('tenant_id'), `${table} has no tenant_id`);
      const foreign = db.all('SELECT "from" AS name, "table" AS parent FROM pragma_foreign_key_list(:table)', { table });
      const keys = foreign.filter(({ parent }) => !ofTheInstallation.includes(String(parent))).map((row) => row.name);
      if (keys.length > 0) assert.ok(keys.includes('tenant_id'), `${table} is tied to another row without its tenant`);
    }
  });
});
