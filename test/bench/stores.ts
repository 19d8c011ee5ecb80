import { type Postgres, skipWithoutPostgres, startPostgres } from '../support/postgres.ts';
import { failed, type Row, skipped } from './row.ts';

const STORES = ['SQLite', 'PostgreSQL'] as const;
type StoreName = (typeof STORES)[number];

/** A store to measure on: SQLite with synchronous=FULL, or a PostgreSQL that syncs its log too. */
export interface BenchStore {
  readonly name: StoreName;
  /** Settings of a server on a database of its own. */
  freshEnv(): Promise<Readonly<Record<string, string>>>;
}

/** PostgreSQL's own defaults, which the tests make smaller. */
const SETTINGS = { shared_buffers: '128MB', max_wal_size: '1GB' };

const sqlite: BenchStore = { name: 'SQLite', freshEnv: async () => ({}) };

/** Measures on the one store and then on the other; where there is no PostgreSQL, the row says so. */
export async function onBothStores(what: string, measure: (store: BenchStore) => Promise<readonly Row[]>): Promise<readonly Row[]> {
  const rows = [...(await measure(sqlite).catch((error: unknown) => [failed(`${what}, SQLite`, error)]))];
  rows.push(...(await onPostgres(what, measure)));
  return rows;
}

export async function onPostgres(what: string, measure: (store: BenchStore) => Promise<readonly Row[]>): Promise<readonly Row[]> {
  const postgres = await startPostgres({ settings: SETTINGS });
  if (postgres === undefined) return [skipped(`${what}, PostgreSQL`, String(skipWithoutPostgres))];
  try {
    return await measure(postgresStore(postgres)).catch((error: unknown) => [failed(`${what}, PostgreSQL`, error)]);
  } finally {
    await postgres.close();
  }
}

function postgresStore(postgres: Postgres): BenchStore {
  return {
    name: 'PostgreSQL',
    freshEnv: async () => ({ CLOISTER_STORE: 'postgres', DATABASE_URL: await postgres.createDatabase() }),
  };
}
