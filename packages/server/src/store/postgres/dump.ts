import type { Client } from 'pg';
import { PlatformError } from '../../base/errors.ts';
import { type AppliedMigration, pendingMigrations } from '../sql/migrations.ts';
import type { Row } from '../sql/query.ts';
import { text } from '../sql/rows.ts';
import { BOOTS_TABLE } from './boots.ts';
import { hasTable, readLedger, UNFINISHED_MOVE, withAdminClient } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';
import { columnsOf } from './move/target.ts';

/**
 * A database as lines of JSON: first the head, then for each table its columns and an array for each row, and at the
 * end how many rows there were.
 */
export interface DumpHead {
  readonly cloister_database: 1;
  readonly ledger: readonly AppliedMigration[];
}

export interface DumpedDatabase {
  readonly schemaVersion: number;
  readonly installation: string | null;
  readonly tables: readonly { readonly name: string; readonly rows: number }[];
}

export interface DumpOptions {
  write(line: string): Promise<void>;
  readonly onTable: (table: string, rows: number) => void;
}

/** Of this server's own working, and made anew by the next one. */
const LEFT_OUT: ReadonlySet<string> = new Set(['schema_migrations', BOOTS_TABLE]);
const TABLES = 'SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1';
const FETCH = 500;

/**
 * Writes all rows as they are at one moment, while servers go on: one transaction that sees nothing later. Throws
 * `store_newer`, `store_schema_changed`, `store_move_unfinished` and `store_unavailable`.
 */
export function dumpPostgres(url: string, options: DumpOptions): Promise<DumpedDatabase> {
  return withAdminClient(url, async (client) => {
    await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
    try {
      if (await hasTable(client, UNFINISHED_MOVE)) throw new PlatformError('store_move_unfinished');
      return await dump(client, options);
    } finally {
      // Nothing was written.
      await client.query('ROLLBACK');
    }
  });
}

async function dump(client: Client, { write, onTable }: DumpOptions): Promise<DumpedDatabase> {
  const ledger = await readLedger(client);
  pendingMigrations(MIGRATIONS, ledger);
  await write(JSON.stringify({ cloister_database: 1, ledger } satisfies DumpHead));
  const names = (await client.query<Row>(TABLES)).rows.map((row) => text(row, 'name')).filter((name) => !LEFT_OUT.has(name));
  const tables: { name: string; rows: number }[] = [];
  for (const name of names) {
    onTable(name, 0);
    tables.push({ name, rows: await dumpTable(client, name, write) });
    onTable(name, tables.at(-1)?.rows ?? 0);
  }
  await write(JSON.stringify({ end: tables }));
  const { rows } = names.includes('installation') ? await client.query<Row>('SELECT id FROM installation') : { rows: [] };
  return { schemaVersion: ledger.length, installation: rows[0] === undefined ? null : text(rows[0], 'id'), tables };
}

async function dumpTable(client: Client, table: string, write: DumpOptions['write']): Promise<number> {
  const columns = (await columnsOf(client, table)).map(({ name }) => name);
  await write(JSON.stringify({ table, columns }));
  await client.query(`DECLARE all_rows NO SCROLL CURSOR FOR SELECT * FROM "${table}"`);
  let count = 0;
  for (;;) {
    const { rows } = await client.query<Row>(`FETCH ${FETCH} FROM all_rows`);
    if (rows.length === 0) break;
    // One text for the batch: a row by itself is small.
    await write(rows.map((row) => JSON.stringify(columns.map((column) => row[column] ?? null))).join('\n'));
    count += rows.length;
  }
  await client.query('CLOSE all_rows');
  return count;
}
