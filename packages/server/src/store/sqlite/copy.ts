import { chmod } from 'node:fs/promises';
import { backup, DatabaseSync } from 'node:sqlite';
import { PlatformError } from '../../base/errors.ts';
import { pendingMigrations } from '../sql/migrations.ts';
import { text } from '../sql/rows.ts';
import { type Connection, createConnection, openReader } from './connection.ts';
import { toStoreError } from './failures.ts';
import { countRows, tableNames } from './maintenance.ts';
import { readLedger } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';
import { acquireOwnerLock } from './owner-lock.ts';

export interface CopiedDatabase {
  readonly schemaVersion: number;
  /** Null for a database that no server has used yet. */
  readonly installation: string | null;
  readonly tables: readonly { readonly name: string; readonly rows: number }[];
}

/** All pages in one step: of a copy in several, each write of the server in between would begin it anew. */
const ALL_PAGES = 0x7fff_ffff;

/**
 * Copies the database as it is at one moment into a new file, also while a server writes to it, and proves that the
 * copy is whole. Throws `store_newer`, `store_schema_changed`, `disk_full` and `store_unavailable`.
 */
export async function copySqlite(file: string, target: string): Promise<CopiedDatabase> {
  try {
    const source = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
    try {
      await backup(source, target, { rate: ALL_PAGES });
    } finally {
      source.close();
    }
    await chmod(target, 0o600);
    return describe(target);
  } catch (error) {
    throw toStoreError(error);
  }
}

/** Looks whether a copy is whole and of a version that this program knows; answers what is in it. Throws as `copySqlite` does. */
export function examineSqlite(file: string): CopiedDatabase {
  try {
    return describe(file);
  } catch (error) {
    throw toStoreError(error);
  }
}

/** Only for a copy that nobody else has open. */
function describe(file: string): CopiedDatabase {
  const db = createConnection(new DatabaseSync(file));
  try {
    // One file by itself, without the log and the index beside it.
    db.get('PRAGMA journal_mode = DELETE');
    const verdict = text(db.get('PRAGMA quick_check(1)') ?? {}, 'quick_check');
    if (verdict !== 'ok') throw new PlatformError('backup_invalid', { detail: `The database is damaged: ${verdict}.` });
    return contentsOf(db);
  } finally {
    db.close();
  }
}

function contentsOf(db: Connection): CopiedDatabase {
  const applied = readLedger(db);
  pendingMigrations(MIGRATIONS, applied);
  const tables = tableNames(db);
  const installation = tables.includes('installation') ? db.get('SELECT id FROM installation') : undefined;
  return {
    schemaVersion: applied.length,
    installation: installation === undefined ? null : text(installation, 'id'),
    tables: countRows(db, tables),
  };
}

/** Throws `store_locked` while a server owns the database. */
export function requireUnowned(file: string, now: number): void {
  acquireOwnerLock(file, { pid: process.pid, nodeId: null, now }).release();
}

/** The installation's id, also while a server owns the file; null for a database that none has used. */
export function installationOfSqlite(file: string): string | null {
  const db = openReader(file);
  try {
    if (!tableNames(db).includes('installation')) return null;
    const row = db.get('SELECT id FROM installation');
    return row === undefined ? null : text(row, 'id');
  } catch (error) {
    throw toStoreError(error);
  } finally {
    db.close();
  }
}
