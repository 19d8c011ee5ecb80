import { createHash } from 'node:crypto';
import { PlatformError } from '../../base/errors.ts';
import type { Row } from './query.ts';
import { integer, text } from './rows.ts';

/** A step from one version of the schema to the next; the same number means the same step in every database. */
export interface Migration {
  /** 1, 2, 3 … without a gap. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** What the database says of a step that it has made. */
export interface AppliedMigration {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
}

export const READ_LEDGER = 'SELECT version, name, checksum FROM schema_migrations ORDER BY version';
export const INSERT_APPLIED =
  'INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (:version, :name, :checksum, :now)';

/**
 * The steps a database still has to make, in order. Throws `store_newer` for a database of a later version and
 * `store_schema_changed` for one that was made by other steps than ours.
 */
export function pendingMigrations(migrations: readonly Migration[], applied: readonly AppliedMigration[]): readonly Migration[] {
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
  return migrations.slice(applied.length);
}

export function parseApplied(row: Row): AppliedMigration {
  return { version: integer(row, 'version'), name: text(row, 'name'), checksum: text(row, 'checksum') };
}

export function checksumOf(migration: Migration): string {
  return createHash('sha256').update(migration.sql).digest('hex');
}
