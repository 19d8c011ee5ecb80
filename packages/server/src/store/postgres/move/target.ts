import type { Client } from 'pg';
import { PlatformError } from '../../../base/errors.ts';
import type { MoveBatch } from '../../sql/move-source.ts';
import type { Row } from '../../sql/query.ts';
import { integer, text } from '../../sql/rows.ts';
import { BOOTS_TABLE } from '../boots.ts';
import { countRows } from '../maintenance.ts';
import { UNFINISHED_MOVE } from '../migrate.ts';
import { type Checksum, createChecksum } from './checksum.ts';

export interface Column {
  readonly name: string;
  readonly type: string;
}

export interface Progress {
  readonly table: string;
  readonly last: number;
}

const PROGRESS = `CREATE TABLE ${UNFINISHED_MOVE} (
  table_name TEXT PRIMARY KEY, last_place BIGINT NOT NULL, installation_id TEXT NOT NULL
)`;
/** A server that was never used leaves these behind, and they mean nothing. */
const WITHOUT_MEANING: ReadonlySet<string> = new Set(['schema_migrations', 'installation', 'health', 'nodes', 'duties', BOOTS_TABLE]);
const COLUMNS = `SELECT column_name AS name, data_type AS type FROM information_schema.columns
  WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position`;
const IDENTITIES = `SELECT table_name, column_name FROM information_schema.columns
  WHERE table_schema = current_schema() AND is_identity = 'YES'`;
const FETCH = 500;

export async function inTransaction<T>(client: Client, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const value = await work();
    await client.query('COMMIT');
    return value;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

/** Makes the target ready for these tables, or finds how far an earlier move of the same installation came. */
export async function beginOrResume(
  client: Client,
  tables: readonly string[],
  { installationId, isRestart }: { readonly installationId: string; readonly isRestart: boolean },
): Promise<readonly Progress[]> {
  return inTransaction(client, async () => {
    const known = await readProgress(client);
    if (known !== undefined && known.installationId !== installationId)
      throw new PlatformError('store_not_empty', { detail: 'The target holds an unfinished move of another installation.' });
    if (known !== undefined && !isRestart) return known.progress;
    if (known === undefined) {
      await refuseData(client);
      await client.query(PROGRESS);
    }
    await client.query(`TRUNCATE ${tables.map((name) => `"${name}"`).join(', ')}, ${UNFINISHED_MOVE}`);
    await client.query(`INSERT INTO ${UNFINISHED_MOVE} SELECT name, 0, $2 FROM unnest($1::text[]) AS name`, [tables, installationId]);
    return tables.map((table) => ({ table, last: 0 }));
  });
}

async function readProgress(client: Client): Promise<{ installationId: string; progress: Progress[] } | undefined> {
  const { rows: found } = await client.query<{ found: boolean }>(`SELECT to_regclass('${UNFINISHED_MOVE}') IS NOT NULL AS found`);
  if (found[0]?.found !== true) return undefined;
  const { rows } = await client.query(`SELECT table_name, last_place, installation_id FROM ${UNFINISHED_MOVE}`);
  const progress = rows.map((row: Row) => ({ table: text(row, 'table_name'), last: integer(row, 'last_place') }));
  return { installationId: rows[0] === undefined ? '' : text(rows[0], 'installation_id'), progress };
}

/** Throws `store_not_empty` for a database that a server has used. */
export async function refuseData(client: Client): Promise<void> {
  const used = (await countRows(client)).filter(({ name, rows }) => rows > 0 && !WITHOUT_MEANING.has(name));
  if (used.length === 0) return;
  const found = used.map(({ name, rows }) => `${name}: ${rows}`).join(', ');
  throw new PlatformError('store_not_empty', { detail: `The target database holds data already (${found}).` });
}

export async function columnsOf(client: Client, table: string): Promise<readonly Column[]> {
  const { rows } = await client.query(COLUMNS, [table]);
  return rows.map((row: Row) => ({ name: text(row, 'name'), type: text(row, 'type') }));
}

/** Writes a batch together with how far that is. */
export async function writeBatch(client: Client, table: string, columns: readonly Column[], { rows, last }: MoveBatch): Promise<void> {
  const names = columns.map(({ name }) => `"${name}"`).join(', ');
  const lists = columns.map(({ type }, index) => `$${index + 1}::${type}[]`).join(', ');
  const values = columns.map(({ name }) => rows.map((row) => row[name] ?? null));
  await inTransaction(client, async () => {
    await client.query(`INSERT INTO "${table}" (${names}) SELECT * FROM unnest(${lists})`, values);
    await client.query(`UPDATE ${UNFINISHED_MOVE} SET last_place = $1 WHERE table_name = $2`, [last, table]);
  });
}

export async function checksumOf(client: Client, table: string, columns: readonly string[]): Promise<Checksum> {
  const checksum = createChecksum(columns);
  await inTransaction(client, async () => {
    await client.query(`DECLARE all_rows NO SCROLL CURSOR FOR SELECT * FROM "${table}"`);
    for (;;) {
      const { rows } = await client.query<Row>(`FETCH ${FETCH} FROM all_rows`);
      if (rows.length === 0) return;
      for (const row of rows) checksum.add(row);
    }
  });
  return checksum.result();
}

/** Lets new rows count on from those that were copied, and makes the database one that servers may open. */
export async function finishMove(client: Client): Promise<void> {
  await inTransaction(client, async () => {
    await countOn(client);
    await client.query(`DROP TABLE ${UNFINISHED_MOVE}`);
  });
  // Plans for tables that were empty a moment ago would be bad ones.
  await client.query('ANALYZE');
}

/** Lets identities go on behind the highest that there is. */
export async function countOn(client: Client): Promise<void> {
  for (const row of (await client.query(IDENTITIES)).rows) {
    const table = text(row, 'table_name');
    const column = text(row, 'column_name');
    await client.query(
      `SELECT setval(pg_get_serial_sequence('${table}', '${column}'), greatest(max("${column}"), 1), count(*) > 0) FROM "${table}"`,
    );
  }
}
