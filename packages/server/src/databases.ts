import path from 'node:path';
import type { AuditVerdict } from '@cloister/api';
import { toVerdict, verifyChain } from './audit/audit-log.ts';
import { openAuditSeals } from './audit/key.ts';
import { beforeMigrationOf } from './backups.ts';
import { systemClock } from './base/clock.ts';
import { PlatformError } from './base/errors.ts';
import { loadAuditKeys, loadDatabaseConfig } from './config.ts';
import type { ChainHead } from './core/audit-chain.ts';
import { inspectPostgres, migratePostgres, placeOf, readPostgresAudit } from './store/postgres/maintenance.ts';
import { type MovedTable, type MoveProgress, moveToPostgres } from './store/postgres/move/move.ts';
import type { DatabaseStatus } from './store/sql/database-status.ts';
import { inspectSqlite, migrateSqlite, readSqliteAudit } from './store/sqlite/maintenance.ts';
import { openMoveSource } from './store/sqlite/move-source.ts';
import type { AuditReader } from './store/store.ts';

export type { MovedTable, MoveProgress } from './store/postgres/move/move.ts';
export type { DatabaseStatus } from './store/sql/database-status.ts';

/** The database that the settings name, for work on it beside a server or without one. */
export interface ConfiguredDatabase {
  status(): Promise<DatabaseStatus>;
  /** Answers the names of the steps that were made. */
  migrate(): Promise<readonly string[]>;
}

export function configuredDatabase(): ConfiguredDatabase {
  const settings = loadDatabaseConfig();
  const { store, databaseUrl: url, dataDir } = settings;
  if (store === 'memory')
    throw new PlatformError('config_invalid', { detail: 'CLOISTER_STORE: a database in memory is gone with its server.' });
  if (store === 'postgres' && url !== undefined)
    return { status: () => inspectPostgres(url), migrate: () => migratePostgres(url, systemClock, beforeMigrationOf(settings)) };
  const file = path.join(dataDir, 'cloister.db');
  const keepsBefore = settings.backup.beforeMigration;
  return { status: async () => inspectSqlite(file), migrate: async () => migrateSqlite(file, systemClock, { keepsBefore }) };
}

/** Proves the chains in the database that the settings name, with the keys that they name; no server is asked. */
export async function verifyAudit(input: {
  readonly tenantId?: string | undefined;
  /** A head that was kept elsewhere; for its own tenant. */
  readonly exported?: ChainHead | undefined;
}): Promise<readonly AuditVerdict[]> {
  const { store, databaseUrl: url, dataDir } = loadDatabaseConfig();
  const seals = openAuditSeals({ dataDir, keys: loadAuditKeys(), mayMake: false });
  const prove = async (audit: AuditReader): Promise<readonly AuditVerdict[]> => {
    const named = [
      ...(input.tenantId === undefined ? [] : [input.tenantId]),
      ...(input.exported === undefined ? [] : [input.exported.tenantId]),
    ];
    const tenants = named.length > 0 ? named : await audit.tenants();
    const verdicts: AuditVerdict[] = [];
    for (const tenantId of new Set(tenants)) {
      const exported = input.exported?.tenantId === tenantId ? input.exported : undefined;
      verdicts.push(toVerdict(await verifyChain({ store: audit, seals, tenantId, exported })));
    }
    return verdicts;
  };
  if (store === 'postgres' && url !== undefined) return readPostgresAudit(url, prove);
  return readSqliteAudit(path.join(dataDir, 'cloister.db'), prove);
}

export interface MoveRequest {
  /** The SQLite database; the one in DATA_DIR unless told. */
  readonly from: string | undefined;
  /** The PostgreSQL database; the one of DATABASE_URL unless told. */
  readonly to: string | undefined;
  readonly isRestart: boolean;
  readonly onProgress: (progress: MoveProgress) => void;
}

export interface Moved {
  readonly file: string;
  /** Host and database, without a password. */
  readonly place: string;
  readonly tables: readonly MovedTable[];
}

/** Copies everything from SQLite to PostgreSQL, and leaves the source as it is. */
export async function moveDatabase({ from, to, isRestart, onProgress }: MoveRequest): Promise<Moved> {
  const { databaseUrl, dataDir } = loadDatabaseConfig();
  const url = to ?? databaseUrl;
  if (url === undefined) throw new PlatformError('config_invalid', { detail: 'Name the target with --to or DATABASE_URL.' });
  const place = placeOf(url);
  const file = path.resolve(from ?? path.join(dataDir, 'cloister.db'));
  const source = openMoveSource(file, systemClock);
  try {
    return { file, place, tables: await moveToPostgres({ source, url, isRestart, clock: systemClock, onProgress }) };
  } finally {
    source.close();
  }
}
