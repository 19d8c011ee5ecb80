import { createHash } from 'node:crypto';
import type { Row } from '../../sql/query.ts';

/** Count and sum of a table's rows, the same in whatever order they are read. */
export interface Checksum {
  readonly rows: number;
  readonly sum: string;
}

export interface ChecksumBuilder {
  add(row: Row): void;
  result(): Checksum;
}

const MODULUS = 1n << 128n;

/** Adds up a hash of each row. `columns` says what belongs to a row, and in which order. */
export function createChecksum(columns: readonly string[]): ChecksumBuilder {
  let rows = 0;
  let sum = 0n;
  return {
    add(row) {
      const hash = createHash('sha256')
        .update(JSON.stringify(columns.map((column) => row[column])))
        .digest('hex')
        .slice(0, 32);
      sum = (sum + BigInt(`0x${hash}`)) % MODULUS;
      rows++;
    },
    result: () => ({ rows, sum: sum.toString(16).padStart(32, '0') }),
  };
}
