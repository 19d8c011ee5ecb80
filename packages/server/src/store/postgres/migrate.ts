import { Client } from 'pg';
import { crashPoint } from '../../base/crash-points.ts';
import { PlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { type AppliedMigration, checksumOf, type Migration, parseApplied, pendingMigrations, READ_LEDGER } from '../sql/migrations.ts';
import { text } from '../sql/rows.ts';
import { CREATE_BOOTS } from './boots.ts';
import { toStoreError } from './failures.ts';
import { clientConfig } from './pool.ts';

const LEDGER = `CREATE TABLE IF NOT EXISTS schema_migrations (
  version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL
)`;
const INSERT_APPLIED = 'INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)';
/** Any number that nobody else uses: "cloister" in ASCII. */
const LOCK = '0x636c6f6973746572';
const LOCK_NUMBER = BigInt(LOCK).toString();

/** A connection for work on the schema, which may take its time; closed when `work` is done. */
export async function withAdminClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(clientConfig({ url }));
  // Its error shows in the query that meets it.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    throw toStoreError(error);
  } finally {
    // The work is done or has failed already; the end of the connection adds nothing.
    await client.end().catch(() => undefined);
  }
}

/** A table that is there while a copy into this database is under way. */
export const UNFINISHED_MOVE = 'unfinished_move';

/** Called before the schema of a database with data changes, with its version to be; what it throws keeps it as it is. */
export type BeforeMigration = (version: number) => Promise<void>;

/**
 * Brings the database to the newest version, each step whole or not at all, while other servers wait. Answers the
 * installation's id, made on the first time. Throws as SQLite's does, and `store_move_unfinished`, before anything
 * was changed.
 */
export function prepareDatabase(
  client: Client,
  migrations: readonly Migration[],
  now: number,
  beforeMigration?: BeforeMigration,
): Promise<string> {
  return withSchemaLock(client, async () => {
    if (await hasTable(client, UNFINISHED_MOVE)) throw new PlatformError('store_move_unfinished');
    const applied = await readLedger(client);
    // What has no table yet has nothing to lose.
    if (applied.length > 0 && pendingMigrations(migrations, applied).length > 0) await beforeMigration?.(migrations.length);
    await makeSchema(client, migrations, now);
    await client.query(CREATE_BOOTS);
    return ensureInstallation(client, now);
  });
}

/** Only one at a time, over all servers, works on the schema. After a failure the lock goes with the connection. */
export async function withSchemaLock<T>(client: Client, work: () => Promise<T>): Promise<T> {
  await client.query(`SELECT pg_advisory_lock(${LOCK_NUMBER})`);
  const value = await work();
  await client.query(`SELECT pg_advisory_unlock(${LOCK_NUMBER})`);
  return value;
}

/** Makes the steps that are still to be made; under the lock. */
export async function makeSchema(client: Client, migrations: readonly Migration[], now: number): Promise<void> {
  for (const migration of pendingMigrations(migrations, await readLedger(client))) await apply(client, migration, now);
}

async function apply(client: Client, migration: Migration, now: number): Promise<void> {
  const { version, name, sql } = migration;
  await client.query('BEGIN');
  try {
    await client.query(LEDGER);
    await client.query(sql);
    crashPoint('migrate.between_statements');
    await client.query(INSERT_APPLIED, [version, name, checksumOf(migration), now]);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

export async function readLedger(client: Client): Promise<readonly AppliedMigration[]> {
  if (!(await hasTable(client, 'schema_migrations'))) return [];
  return (await client.query(READ_LEDGER)).rows.map(parseApplied);
}

export async function hasTable(client: Client, name: string): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [name]);
  return rows[0]?.found === true;
}

async function ensureInstallation(client: Client, now: number): Promise<string> {
  const { rows } = await client.query('SELECT id FROM installation');
  if (rows[0] !== undefined) return text(rows[0], 'id');
  const id = newId('installation');
  await client.query('INSERT INTO installation (id, created_at) VALUES ($1, $2)', [id, now]);
  return id;
}
