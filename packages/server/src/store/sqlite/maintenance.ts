import { existsSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { DatabaseStatus } from '../sql/database-status.ts';
import { pendingMigrations } from '../sql/migrations.ts';
import { integer, text } from '../sql/rows.ts';
import { type Connection, createConnection, openReader, openWriter } from './connection.ts';
import { toStoreError } from './failures.ts';
import { migrate, readLedger } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';
import { acquireOwnerLock } from './owner-lock.ts';

const TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";

/** Looks into the file, also while a server owns it. */
export function inspectSqlite(file: string): DatabaseStatus {
  if (!existsSync(file))
    return { store: 'sqlite', place: file, version: 0, pending: MIGRATIONS.map(({ name }) => name), sizeBytes: 0, tables: [] };
  return withConnection(openReader(file), (db) => {
    const applied = readLedger(db);
    const tables = tableNames(db).map((name) => ({ name, rows: integer(db.get(`SELECT count(*) AS n FROM "${name}"`) ?? {}, 'n') }));
    const pending = pendingMigrations(MIGRATIONS, applied).map(({ name }) => name);
    return { store: 'sqlite', place: file, version: applied.length, pending, sizeBytes: sizeOf(file) + sizeOf(`${file}-wal`), tables };
  });
}

/** Brings the file's schema up to date; answers the names of the steps that were made. Throws `store_locked` while a server owns it. */
export function migrateSqlite(file: string, clock: Clock): readonly string[] {
  const lock = acquireOwnerLock(file, { pid: process.pid, nodeId: null, now: clock.now() });
  try {
    return withConnection(openWriter(file), (db) => {
      const before = readLedger(db).length;
      migrate(db, MIGRATIONS, clock.now());
      return MIGRATIONS.slice(before).map(({ name }) => name);
    });
  } finally {
    lock.release();
  }
}

/** A database that no server may open, and that is only read. */
export interface SqliteSource {
  readonly db: Connection;
  close(): void;
}

/**
 * Opens the file for a copy: no server can own it meanwhile, and not a byte of it changes. Throws `store_locked`
 * while a server owns it.
 */
export function openSource(file: string, clock: Clock): SqliteSource {
  if (!existsSync(file)) throw new PlatformError('store_unavailable', { detail: `There is no database at ${file}.` });
  const lock = acquireOwnerLock(file, { pid: process.pid, nodeId: null, now: clock.now() });
  try {
    const db = openUntouched(file);
    try {
      if (pendingMigrations(MIGRATIONS, readLedger(db)).length > 0)
        throw new PlatformError('store_schema_changed', { detail: `${file} is of an older version: run \`cloister db migrate\` first.` });
    } catch (error) {
      db.close();
      throw error;
    }
    return {
      db,
      close() {
        db.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw toStoreError(error);
  }
}

/** A log that was left by a crash has to be read too, and SQLite keeps an index of it beside the file. */
function openUntouched(file: string): Connection {
  if (sizeOf(`${file}-wal`) > 0) return openReader(file);
  const url = pathToFileURL(file);
  url.searchParams.set('immutable', '1');
  return createConnection(new DatabaseSync(url, { readOnly: true }));
}

/** Parents before the tables that refer to them; without the ledger of the schema. */
export function tablesInOrder(db: Connection): readonly string[] {
  const names = tableNames(db).filter((name) => name !== 'schema_migrations');
  const parents = new Map(
    names.map((name) => [
      name,
      db.all(`SELECT DISTINCT "table" AS parent FROM pragma_foreign_key_list('${name}')`).map((row) => text(row, 'parent')),
    ]),
  );
  const ordered: string[] = [];
  const place = (name: string): void => {
    if (ordered.includes(name)) return;
    for (const parent of parents.get(name) ?? []) if (parent !== name) place(parent);
    ordered.push(name);
  };
  names.forEach(place);
  return ordered;
}

function tableNames(db: Connection): readonly string[] {
  return db.all(TABLES).map((row) => text(row, 'name'));
}

function sizeOf(file: string): number {
  return existsSync(file) ? statSync(file).size : 0;
}

function withConnection<T>(db: Connection, work: (db: Connection) => T): T {
  try {
    return work(db);
  } catch (error) {
    throw toStoreError(error);
  } finally {
    db.close();
  }
}
