import { invariant } from '../../../base/errors.ts';
import type { Row } from '../../sql/query.ts';
import { integer } from '../../sql/rows.ts';
import type { Connection } from '../../sqlite/connection.ts';

export interface Batch {
  readonly rows: readonly Row[];
  /** The place of the last row: where the next batch begins. */
  readonly last: number;
}

/** Batches grow while their rows are small, so that a batch of large ones fits in memory. */
const SIZE = { first: 16, most: 1000, bytes: 2 * 1024 * 1024 } as const;
const PLACE = 'place_of_row';

/** The rows of a table after a place, in batches. */
export function* batchesOf(db: Connection, table: string, columns: readonly string[], after: number): Generator<Batch, void, void> {
  const list = columns.map((column) => `"${column}"`).join(', ');
  const sql = `SELECT rowid AS ${PLACE}, ${list} FROM "${table}" WHERE rowid > :after ORDER BY rowid LIMIT :limit`;
  let last = after;
  let limit: number = SIZE.first;
  for (;;) {
    const rows = db.all(sql, { after: last, limit });
    const end = rows.at(-1);
    if (end === undefined) return;
    last = integer(end, PLACE);
    yield { rows, last };
    limit = bytesOf(rows) < SIZE.bytes ? Math.min(limit * 2, SIZE.most) : Math.max(1, Math.floor(limit / 4));
  }
}

export function countOf(db: Connection, table: string): number {
  const row = db.get(`SELECT count(*) AS n FROM "${table}"`);
  invariant(row !== undefined, 'a count has a row');
  return integer(row, 'n');
}

function bytesOf(rows: readonly Row[]): number {
  let bytes = 0;
  for (const row of rows) for (const value of Object.values(row)) bytes += typeof value === 'string' ? value.length : 8;
  return bytes;
}
