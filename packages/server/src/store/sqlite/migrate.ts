import { createHash } from 'node:crypto';
import { crashPoint } from '../../base/crash-points.ts';
import { PlatformError } from '../../base/errors.ts';
import { integer, text } from '../sql/rows.ts';
import type { Connection } from './connection.ts';

export interface Migration {
  /** 1, 2, 3 … without a gap. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

const LEDGER = `CREATE TABLE IF NOT EXISTS schema_migrations (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
) STRICT`;

/**
 * Brings the database to the newest version, each step whole or not at all. Throws `store_newer` for a
 * database of a later version and `store_schema_changed` for one that was made by other steps than ours.
 */
export function migrate(db: Connection, migrations: readonly Migration[], now: number): void {
  const applied = readLedger(db);
  const newest = migrations.length;
  for (const { version, checksum, name } of applied) {
    const known = migrations[version - 1];
    if (known === undefined) {
      throw new PlatformError('store_newer', {
        detail: `The database has version ${version}; this Cloister knows versions up to ${newest}.`,
      });
    }
    if (checksumOf(known) === checksum) continue;
    throw new PlatformError('store_schema_changed', {
      detail: `Migration ${version} (${name}) is not the one this database was made with.`,
    });
  }
  for (const migration of migrations.slice(applied.length)) apply(db, migration, now);
}

function apply(db: Connection, migration: Migration, now: number): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    db.exec(LEDGER);
    db.exec(migration.sql);
    crashPoint('migrate.between_statements');
    db.run('INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (:version, :name, :checksum, :now)', {
      version: migration.version,
      name: migration.name,
      checksum: checksumOf(migration),
      now,
    });
    db.exec('COMMIT');
  } catch (error) {
    if (db.isInTransaction()) db.exec('ROLLBACK');
    throw error;
  }
}

function readLedger(db: Connection) {
  if (db.get("SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'") === undefined) return [];
  return db.all('SELECT version, name, checksum FROM schema_migrations ORDER BY version').map((row) => ({
    version: integer(row, 'version'),
    name: text(row, 'name'),
    checksum: text(row, 'checksum'),
  }));
}

function checksumOf(migration: Migration): string {
  return createHash('sha256').update(migration.sql).digest('hex');
}
