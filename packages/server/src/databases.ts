import path from 'node:path';
import { systemClock } from './base/clock.ts';
import { PlatformError } from './base/errors.ts';
import { loadDatabaseConfig } from './config.ts';
import { inspectPostgres, migratePostgres, placeOf } from './store/postgres/maintenance.ts';
import { type MovedTable, type MoveProgress, moveToPostgres } from './store/postgres/move/move.ts';
import type { DatabaseStatus } from './store/sql/database-status.ts';
import { inspectSqlite, migrateSqlite } from './store/sqlite/maintenance.ts';
import { openMoveSource } from './store/sqlite/move-source.ts';

export type { MovedTable, MoveProgress } from './store/postgres/move/move.ts';
export type { DatabaseStatus } from './store/sql/database-status.ts';

/** The database that the settings name, for work on it beside a server or without one. */
export interface ConfiguredDatabase {
  status(): Promise<DatabaseStatus>;
  /** Answers the names of the steps that were made. */
  migrate(): Promise<readonly string[]>;
}

export function configuredDatabase(): ConfiguredDatabase {
  const { store, databaseUrl: url, dataDir } = loadDatabaseConfig();
  if (store === 'memory')
    throw new PlatformError('config_invalid', { detail: 'CLOISTER_STORE: a database in memory is gone with its server.' });
  if (store === 'postgres' && url !== undefined)
    return { status: () => inspectPostgres(url), migrate: () => migratePostgres(url, systemClock) };
  const file = path.join(dataDir, 'cloister.db');
  return { status: async () => inspectSqlite(file), migrate: async () => migrateSqlite(file, systemClock) };
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
