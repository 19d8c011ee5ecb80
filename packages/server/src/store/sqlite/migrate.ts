import { crashPoint } from '../../base/crash-points.ts';
import {
  type AppliedMigration,
  checksumOf,
  INSERT_APPLIED,
  type Migration,
  parseApplied,
  pendingMigrations,
  READ_LEDGER,
} from '../sql/migrations.ts';
import type { Connection } from './connection.ts';

export type { Migration } from '../sql/migrations.ts';

const LEDGER = `CREATE TABLE IF NOT EXISTS schema_migrations (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
) STRICT`;

/**
 * Brings the database to the newest version, each step whole or not at all. Throws `store_newer` for a
 * database of a later version and `store_schema_changed` for one that was made by other steps than ours.
 */
export function migrate(db: Connection, migrations: readonly Migration[], now: number): void {
  for (const migration of pendingMigrations(migrations, readLedger(db))) apply(db, migration, now);
}

function apply(db: Connection, migration: Migration, now: number): void {
  const { version, name, sql } = migration;
  db.exec('BEGIN IMMEDIATE');
  try {
    db.exec(LEDGER);
    db.exec(sql);
    crashPoint('migrate.between_statements');
    db.run(INSERT_APPLIED, { version, name, checksum: checksumOf(migration), now });
    db.exec('COMMIT');
  } catch (error) {
    if (db.isInTransaction()) db.exec('ROLLBACK');
    throw error;
  }
}

export function readLedger(db: Connection): readonly AppliedMigration[] {
  if (db.get("SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'") === undefined) return [];
  return db.all(READ_LEDGER).map(parseApplied);
}
