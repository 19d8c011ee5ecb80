import type { Client } from 'pg';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { createAuditReader } from '../sql/audit.ts';
import type { DatabaseStatus } from '../sql/database-status.ts';
import { pendingMigrations } from '../sql/migrations.ts';
import { integer, text } from '../sql/rows.ts';
import type { AuditReader } from '../store.ts';
import { type BeforeMigration, prepareDatabase, readLedger, withAdminClient } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';
import { createStatements } from './statements.ts';
import { runStatements } from './transaction.ts';

const TABLES = 'SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1';

export function inspectPostgres(url: string): Promise<DatabaseStatus> {
  return withAdminClient(url, async (client) => {
    const applied = await readLedger(client);
    const pending = pendingMigrations(MIGRATIONS, applied).map(({ name }) => name);
    const { rows } = await client.query<{ size: number }>('SELECT pg_database_size(current_database()) AS size');
    const sizeBytes = integer(rows[0] ?? {}, 'size');
    return { store: 'postgres', place: placeOf(url), version: applied.length, pending, sizeBytes, tables: await countRows(client) };
  });
}

/** Brings the schema up to date, with or without servers; answers the names of the steps that were made. */
export function migratePostgres(url: string, clock: Clock, beforeMigration?: BeforeMigration): Promise<readonly string[]> {
  return withAdminClient(url, async (client) => {
    const before = (await readLedger(client)).length;
    await prepareDatabase(client, MIGRATIONS, clock.now(), beforeMigration);
    return MIGRATIONS.slice(before).map(({ name }) => name);
  });
}

/** Reads the audit, with or without servers. */
export function readPostgresAudit<T>(url: string, read: (audit: AuditReader) => Promise<T>): Promise<T> {
  return withAdminClient(url, (client) => {
    const statements = createStatements();
    return read(createAuditReader((query) => runStatements(client, statements, query())));
  });
}

/** Host, port and database, without who and with which password. */
export function placeOf(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) throw new PlatformError('config_invalid', { detail: 'The address of the database is not a postgres:// URL.' });
  return `${parsed.host}${parsed.pathname}`;
}

export async function countRows(client: Client): Promise<{ name: string; rows: number }[]> {
  const names = (await client.query(TABLES)).rows.map((row) => text(row, 'name'));
  const counted: { name: string; rows: number }[] = [];
  for (const name of names) {
    const { rows } = await client.query(`SELECT count(*) AS n FROM "${name}"`);
    counted.push({ name, rows: integer(rows[0] ?? {}, 'n') });
  }
  return counted;
}

/** How many deliveries have ended before `before`. */
export function countEndedInPostgres(url: string, before: number): Promise<number> {
  return withAdminClient(url, async (client) => {
    const { rows } = await client.query<{ n: number }>('SELECT count(*) AS n FROM deliveries WHERE ended_at < $1', [before]);
    return integer(rows[0] ?? {}, 'n');
  });
}
