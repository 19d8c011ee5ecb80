import type { Client } from 'pg';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { type AppliedMigration, pendingMigrations } from '../sql/migrations.ts';
import type { Row } from '../sql/query.ts';
import { text } from '../sql/rows.ts';
import { hasTable, makeSchema, readLedger, UNFINISHED_MOVE, withAdminClient, withSchemaLock } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';
import { type Column, columnsOf, countOn, inTransaction, refuseData } from './move/target.ts';

const BATCH = 500;
const FOREIGN_KEYS = `SELECT conrelid::regclass::text AS "table", conname AS name FROM pg_constraint
  WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conparentid = 0`;

export interface LoadInput {
  readonly url: string;
  /** What `dumpPostgres` wrote. */
  readonly lines: AsyncIterable<string>;
  readonly clock: Clock;
  readonly onTable: (table: string, rows: number) => void;
}

/**
 * Fills an empty database with the rows of a dump, all in one transaction, at the version they were of: the next server
 * brings it up to date. Throws `store_not_empty`, `store_newer`, `backup_invalid`.
 */
export function loadPostgres({ url, lines, clock, onTable }: LoadInput): Promise<void> {
  return withAdminClient(url, (client) =>
    withSchemaLock(client, async () => {
      const source = lines[Symbol.asyncIterator]();
      const ledger = parseHead(await nextLine(source));
      await prepareTarget(client, ledger, clock.now());
      await inTransaction(client, async () => {
        const keys = (await client.query<Row>(FOREIGN_KEYS)).rows.map((row) => [text(row, 'table'), text(row, 'name')] as const);
        // Rows come in no order that foreign keys would like: they are checked at the end.
        for (const [table, name] of keys)
          await client.query(`ALTER TABLE ${table} ALTER CONSTRAINT "${name}" DEFERRABLE INITIALLY DEFERRED`);
        await loadRows(client, source, onTable);
        await client.query('SET CONSTRAINTS ALL IMMEDIATE');
        for (const [table, name] of keys) await client.query(`ALTER TABLE ${table} ALTER CONSTRAINT "${name}" NOT DEFERRABLE`);
        await countOn(client);
      });
      await client.query('ANALYZE');
    }),
  );
}

/** The version that a dump is of. Throws `store_newer` and `store_schema_changed` for one that is not ours. */
export function dumpVersion(line: string): number {
  return parseHead(line).length;
}

async function prepareTarget(client: Client, ledger: readonly AppliedMigration[], now: number): Promise<void> {
  if (await hasTable(client, UNFINISHED_MOVE)) throw new PlatformError('store_move_unfinished');
  if ((await readLedger(client)).length > ledger.length)
    throw new PlatformError('store_not_empty', {
      detail: 'The target database has the tables of a newer version: name one without tables.',
    });
  await refuseData(client);
  await makeSchema(client, MIGRATIONS.slice(0, ledger.length), now);
}

async function loadRows(client: Client, source: AsyncIterator<string>, onTable: LoadInput['onTable']): Promise<void> {
  const counts = new Map<string, number>();
  let filling: { readonly table: string; readonly columns: readonly Column[]; readonly rows: unknown[][] } | undefined;
  const flush = async () => {
    if (filling === undefined || filling.rows.length === 0) return;
    await insert(client, filling.table, filling.columns, filling.rows);
    counts.set(filling.table, (counts.get(filling.table) ?? 0) + filling.rows.length);
    filling.rows.length = 0;
  };
  for (;;) {
    const line = parseLine(await nextLine(source));
    if (Array.isArray(line)) {
      if (filling === undefined || line.length !== filling.columns.length) throw damaged();
      filling.rows.push(line);
      if (filling.rows.length >= BATCH) await flush();
      continue;
    }
    await flush();
    if (filling !== undefined) onTable(filling.table, counts.get(filling.table) ?? 0);
    if ('end' in line) return requireAll(line.end, counts);
    filling = await beginTable(client, line);
  }
}

async function beginTable(client: Client, line: object): Promise<{ table: string; columns: Column[]; rows: unknown[][] }> {
  if (!('table' in line) || typeof line.table !== 'string' || !('columns' in line) || !Array.isArray(line.columns)) throw damaged();
  const there = await columnsOf(client, line.table);
  const columns = line.columns.map((name) => there.find((column) => column.name === name));
  if (there.length === 0 || !columns.every((column) => column !== undefined) || columns.length !== there.length) throw damaged();
  await client.query(`DELETE FROM "${line.table}"`);
  return { table: line.table, columns, rows: [] };
}

async function insert(client: Client, table: string, columns: readonly Column[], rows: readonly unknown[][]): Promise<void> {
  const names = columns.map(({ name }) => `"${name}"`).join(', ');
  const lists = columns.map(({ type }, index) => `$${index + 1}::${type}[]`).join(', ');
  const values = columns.map((_, index) => rows.map((row) => row[index] ?? null));
  await client.query(`INSERT INTO "${table}" (${names}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest(${lists})`, values);
}

function requireAll(end: unknown, counts: ReadonlyMap<string, number>): void {
  if (!Array.isArray(end)) throw damaged();
  for (const { name, rows } of end as { name: unknown; rows: unknown }[]) // the last line of our own dump
    if (typeof name !== 'string' || (counts.get(name) ?? 0) !== rows) throw damaged();
}

function parseHead(line: string): readonly AppliedMigration[] {
  const head = parseLine(line);
  if (Array.isArray(head) || !('cloister_database' in head) || !('ledger' in head) || !Array.isArray(head.ledger)) throw damaged();
  const ledger = head.ledger as AppliedMigration[]; // as `dumpPostgres` wrote it; each is compared with ours
  pendingMigrations(MIGRATIONS, ledger);
  return ledger;
}

function parseLine(line: string): object | unknown[] {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw damaged();
}

async function nextLine(source: AsyncIterator<string>): Promise<string> {
  const { value, done } = await source.next();
  if (done === true) throw damaged();
  return value;
}

function damaged(): PlatformError {
  return new PlatformError('backup_invalid', { detail: 'The copy of the database is not whole.' });
}
