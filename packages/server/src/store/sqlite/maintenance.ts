import { existsSync, statSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { createAuditReader } from '../sql/audit.ts';
import type { DatabaseStatus } from '../sql/database-status.ts';
import { pendingMigrations } from '../sql/migrations.ts';
import { integer, text } from '../sql/rows.ts';
import type { AuditReader } from '../store.ts';
import { keepBefore } from './before-migration.ts';
import { type Connection, openReader, openWriter } from './connection.ts';
import { toStoreError } from './failures.ts';
import { migrate, readLedger } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';
import { acquireOwnerLock } from './owner-lock.ts';
import { runQuery } from './run-query.ts';

const TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";

/** Looks into the file, also while a server owns it. */
export function inspectSqlite(file: string): DatabaseStatus {
  if (!existsSync(file))
    return { store: 'sqlite', place: file, version: 0, pending: MIGRATIONS.map(({ name }) => name), sizeBytes: 0, tables: [] };
  return withConnection(openReader(file), (db) => {
    const applied = readLedger(db);
    const tables = countRows(db, tableNames(db));
    const pending = pendingMigrations(MIGRATIONS, applied).map(({ name }) => name);
    return { store: 'sqlite', place: file, version: applied.length, pending, sizeBytes: sizeOf(file) + sizeOf(`${file}-wal`), tables };
  });
}

/** Brings the file's schema up to date; answers the names of the steps that were made. Throws `store_locked` while a server owns it. */
export function migrateSqlite(file: string, clock: Clock, options: { readonly keepsBefore: boolean }): readonly string[] {
  const lock = acquireOwnerLock(file, { pid: process.pid, nodeId: null, now: clock.now() });
  try {
    return withConnection(openWriter(file), (db) => {
      const before = readLedger(db).length;
      if (options.keepsBefore) keepBefore(db, file, clock.now());
      migrate(db, MIGRATIONS, clock.now());
      return MIGRATIONS.slice(before).map(({ name }) => name);
    });
  } finally {
    lock.release();
  }
}

/** Reads the audit in the file, also while a server owns it. */
export async function readSqliteAudit<T>(file: string, read: (audit: AuditReader) => Promise<T>): Promise<T> {
  if (!existsSync(file)) throw new PlatformError('store_unavailable', { detail: `There is no database at ${file}.` });
  const db = openReader(file);
  try {
    return await read(createAuditReader(async (query) => runQuery(db, query(), () => 0)));
  } catch (error) {
    throw toStoreError(error);
  } finally {
    db.close();
  }
}

export function tableNames(db: Connection): readonly string[] {
  return db.all(TABLES).map((row) => text(row, 'name'));
}

export function countRows(db: Connection, tables: readonly string[]): { name: string; rows: number }[] {
  return tables.map((name) => ({ name, rows: integer(db.get(`SELECT count(*) AS n FROM "${name}"`) ?? {}, 'n') }));
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
