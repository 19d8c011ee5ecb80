import type { Client } from 'pg';
import type { Clock } from '../../../base/clock.ts';
import { PlatformError } from '../../../base/errors.ts';
import type { MoveSource } from '../../sql/move-source.ts';
import { makeSchema, withAdminClient, withSchemaLock } from '../migrate.ts';
import { MIGRATIONS } from '../migrations/all.ts';
import { type Checksum, createChecksum } from './checksum.ts';
import { beginOrResume, checksumOf, columnsOf, finishMove, writeBatch } from './target.ts';

export interface MoveInput {
  readonly source: MoveSource;
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
 * Copies a database into PostgreSQL, table by table and in batches, each with how far it is, so that a move that
 * was broken off goes on; then compares every row. Throws `store_not_empty`, and `store_copy_differs` when the
 * source has changed since a move was begun.
 */
export function moveToPostgres({ source, url, isRestart, clock, onProgress }: MoveInput): Promise<readonly MovedTable[]> {
  const { tables, installationId } = source;
  return withAdminClient(url, (client) =>
    withSchemaLock(client, async () => {
      await makeSchema(client, MIGRATIONS, clock.now());
      const progress = await beginOrResume(client, tables, { installationId, isRestart });
      const places = new Map(progress.map(({ table, last }) => [table, last]));
      for (const table of tables) await copy(client, { source, table, after: places.get(table) ?? 0, onProgress });
      const moved: MovedTable[] = [];
      for (const table of tables) moved.push(await compare(client, { source, table, onProgress }));
      await finishMove(client);
      return moved;
    }),
  );
}

interface TableInput {
  readonly source: MoveSource;
  readonly table: string;
  readonly onProgress: MoveInput['onProgress'];
}

async function copy(client: Client, { source, table, after, onProgress }: TableInput & { readonly after: number }): Promise<void> {
  const columns = await columnsOf(client, table);
  const names = columns.map(({ name }) => name);
  const total = source.count(table);
  let rows = after === 0 ? 0 : source.count(table, after);
  onProgress({ step: 'copying', table, rows, total });
  for (const batch of source.batches(table, names, after)) {
    await writeBatch(client, table, columns, batch);
    rows += batch.rows.length;
    onProgress({ step: 'copying', table, rows, total });
  }
}

async function compare(client: Client, { source, table, onProgress }: TableInput): Promise<MovedTable> {
  const columns = (await columnsOf(client, table)).map(({ name }) => name);
  const checksum = createChecksum(columns);
  for (const { rows } of source.batches(table, columns, 0)) for (const row of rows) checksum.add(row);
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
