import type { Client } from 'pg';
import type { Clock } from '../../../base/clock.ts';
import { PlatformError } from '../../../base/errors.ts';
import { text } from '../../sql/rows.ts';
import type { Connection } from '../../sqlite/connection.ts';
import { openSource, tablesInOrder } from '../../sqlite/maintenance.ts';
import { makeSchema, withAdminClient, withSchemaLock } from '../migrate.ts';
import { MIGRATIONS } from '../migrations/all.ts';
import { type Checksum, createChecksum } from './checksum.ts';
import { batchesOf, countOf } from './source.ts';
import { beginOrResume, checksumOf, columnsOf, finishMove, writeBatch } from './target.ts';

export interface MoveInput {
  /** The SQLite database; it is read and stays as it is. */
  readonly file: string;
  /** Where to: an empty PostgreSQL database, or one into which an earlier move came not to its end. */
  readonly url: string;
  /** Throws away what an earlier move has copied. */
  readonly isRestart: boolean;
  readonly clock: Clock;
  readonly onProgress: (progress: MoveProgress) => void;
}

export interface MoveProgress {
  readonly step: 'copying' | 'comparing';
  readonly table: string;
  readonly rows: number;
  readonly total: number;
}

export interface MovedTable extends Checksum {
  readonly table: string;
}

/**
 * Copies a SQLite database into PostgreSQL, table by table and in batches, each with how far it is, so that a move
 * that was broken off goes on; then compares every row. Throws `store_locked` while a server owns the source,
 * `store_not_empty`, and `store_copy_differs` when the source has changed since a move was begun.
 */
export async function moveToPostgres({ file, url, isRestart, clock, onProgress }: MoveInput): Promise<readonly MovedTable[]> {
  const source = openSource(file, clock);
  try {
    const { db } = source;
    const tables = tablesInOrder(db);
    const installationId = installationOf(db);
    return await withAdminClient(url, (client) =>
      withSchemaLock(client, async () => {
        await makeSchema(client, MIGRATIONS, clock.now());
        const progress = await beginOrResume(client, tables, { installationId, isRestart });
        const places = new Map(progress.map(({ table, last }) => [table, last]));
        for (const table of tables) await copy(db, client, { table, after: places.get(table) ?? 0, onProgress });
        const moved: MovedTable[] = [];
        for (const table of tables) moved.push(await compare(db, client, table, onProgress));
        await finishMove(client);
        return moved;
      }),
    );
  } finally {
    source.close();
  }
}

function installationOf(db: Connection): string {
  const row = db.get('SELECT id FROM installation');
  if (row === undefined)
    throw new PlatformError('store_unavailable', { detail: 'The source was never used by a server: there is nothing to move.' });
  return text(row, 'id');
}

interface CopyInput {
  readonly table: string;
  readonly after: number;
  readonly onProgress: MoveInput['onProgress'];
}

async function copy(db: Connection, client: Client, { table, after, onProgress }: CopyInput): Promise<void> {
  const columns = await columnsOf(client, table);
  const total = countOf(db, table);
  let rows = after === 0 ? 0 : countUpTo(db, table, after);
  onProgress({ step: 'copying', table, rows, total });
  for (const batch of batchesOf(
    db,
    table,
    columns.map(({ name }) => name),
    after,
  )) {
    await writeBatch(client, table, columns, batch);
    rows += batch.rows.length;
    onProgress({ step: 'copying', table, rows, total });
  }
}

function countUpTo(db: Connection, table: string, place: number): number {
  return Number(db.get(`SELECT count(*) AS n FROM "${table}" WHERE rowid <= :place`, { place })?.n ?? 0);
}

async function compare(db: Connection, client: Client, table: string, onProgress: MoveInput['onProgress']): Promise<MovedTable> {
  const columns = (await columnsOf(client, table)).map(({ name }) => name);
  const checksum = createChecksum(columns);
  for (const { rows } of batchesOf(db, table, columns, 0)) for (const row of rows) checksum.add(row);
  const expected = checksum.result();
  const found = await checksumOf(client, table, columns);
  if (found.rows !== expected.rows || found.sum !== expected.sum) {
    throw new PlatformError('store_copy_differs', {
      detail: `The table ${table} has ${expected.rows} rows with the sum ${expected.sum} here, and ${found.rows} with ${found.sum} there.`,
    });
  }
  onProgress({ step: 'comparing', table, rows: found.rows, total: expected.rows });
  return { table, ...found };
}
