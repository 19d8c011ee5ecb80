import { isPlatformError, PlatformError } from '../../base/errors.ts';

/** SQLite's result codes (https://sqlite.org/rescode.html) that speak of the database's surroundings, not of a statement. */
const FULL = 13;
const IOERR_SHMSIZE = 4874;
const BUSY = 5;
const UNAVAILABLE: ReadonlySet<number> = new Set([
  BUSY,
  6, // LOCKED
  7, // NOMEM
  8, // READONLY
  10, // IOERR
  11, // CORRUPT
  14, // CANTOPEN
  15, // PROTOCOL
  23, // AUTH
  26, // NOTADB
]);

interface SqliteFailure extends Error {
  /** The extended result code; its low byte is the primary one. */
  readonly errcode: number;
}

function isSqliteFailure(error: unknown): error is SqliteFailure {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number';
}

export function isBusy(error: unknown): boolean {
  return isSqliteFailure(error) && (error.errcode & 0xff) === BUSY;
}

/** Names a failure of the disk or the database; anything else, also what is our own bug, stays as it is. */
export function toStoreError(error: unknown): unknown {
  if (isPlatformError(error) || !isSqliteFailure(error)) return error;
  const primary = error.errcode & 0xff;
  // The shared-memory file lies on the same disk, and it fails to grow only when that is full.
  if (primary === FULL || error.errcode === IOERR_SHMSIZE) return new PlatformError('disk_full', { cause: error });
  if (UNAVAILABLE.has(primary)) return new PlatformError('store_unavailable', { cause: error });
  return error;
}

/** True when the failure belongs to the whole transaction and not to the one operation that met it. */
export function isOfTransaction(error: unknown): boolean {
  return isSqliteFailure(error) && isPlatformError(toStoreError(error));
}
