import type { Row } from './query.ts';

/** A database that is copied from: no server may open it meanwhile, and it stays as it is. */
export interface MoveSource {
  readonly installationId: string;
  /** Parents before the tables that refer to them; without the ledger of the schema. */
  readonly tables: readonly string[];
  /** How many rows the table has, up to a place when one is given. */
  count(table: string, upTo?: number): number;
  /** The rows of a table after a place, in batches that fit in memory. */
  batches(table: string, columns: readonly string[], after: number): Iterable<MoveBatch>;
  close(): void;
}

export interface MoveBatch {
  readonly rows: readonly Row[];
  /** The place of the last row: where the next batch begins. */
  readonly last: number;
}
