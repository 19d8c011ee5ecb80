import { DatabaseError } from 'pg';
import { isPlatformError, PlatformError } from '../../base/errors.ts';

// Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html. What has no code comes from the
// client or the network, and means that there is no connection any more.

const DISK_FULL = '53100';
const NUL_IN_TEXT = '22021';
const SERIALIZATION_FAILURE = '40001';
const DEADLOCK = '40P01';
const PLAN_CHANGED = '0A000';

/** The server has ended the connection, or will not have one now. By class, or by the whole code. */
const NO_CONNECTION: readonly string[] = [
  '08', // connection exception
  '57P', // shutdown, crash, cannot connect now, idle session
  '53300', // too many connections
  '25P03', // idle in transaction for too long
  '25006', // read-only: a standby, since the primary has changed
];
const UNAVAILABLE: readonly string[] = [
  ...NO_CONNECTION,
  '53', // out of memory or of something else
  '54', // program limit
  '55P03', // a lock was not to be had
  '57014', // a statement took too long
  '58', // the operating system
  'XX001', // data corrupted
  'XX002',
  '28', // the login was refused
  '3D000', // there is no such database
];

function hasCode(error: unknown, codes: readonly string[]): boolean {
  const code = codeOf(error);
  return code !== undefined && codes.some((known) => code.startsWith(known));
}

function codeOf(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}

/** True when the connection is of no use any more; what was not committed by it is not there. */
export function isConnectionFailure(error: unknown): boolean {
  if (isPlatformError(error)) return false;
  return error instanceof DatabaseError ? hasCode(error, NO_CONNECTION) : isClientFailure(error);
}

/** Node's and the client's own: ECONNREFUSED, `Connection terminated unexpectedly`, a timeout. Never one of ours. */
function isClientFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('code' in error && typeof error.code === 'string') return /^(E[A-Z]+|ERR_SSL.*|ERR_TLS.*|ERR_SOCKET.*)$/.test(error.code);
  if (error instanceof AggregateError) return error.errors.some(isClientFailure);
  return /^(Connection terminated|timeout e|Query read timeout|Client has encountered|Client was closed|The server does not support SSL)/.test(
    error.message,
  );
}

/** True when the operation may succeed if it is done again from its start. */
export function isConflict(error: unknown): boolean {
  return hasCode(error, [SERIALIZATION_FAILURE, DEADLOCK]);
}

/** The tables have changed since the statement was prepared, as a newer server does while it starts. */
export function isPlanChanged(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === PLAN_CHANGED && error.routine === 'RevalidateCachedQuery';
}

/** Names a failure of the database or of the way to it; anything else, also what is our own bug, stays as it is. */
export function toStoreError(error: unknown): unknown {
  if (isPlatformError(error)) return error;
  if (hasCode(error, [DISK_FULL])) return new PlatformError('disk_full', { cause: error });
  if (hasCode(error, [NUL_IN_TEXT]))
    return new PlatformError('request_invalid', { detail: 'A text has a character in it that cannot be stored (NUL).', cause: error });
  if (isConnectionFailure(error) || isConflict(error) || hasCode(error, UNAVAILABLE))
    return new PlatformError('store_unavailable', { cause: error });
  return error;
}

/** A connection broke while it committed, and it could not be found out whether it did. */
export class OutcomeUnknown extends Error {
  constructor(cause: unknown) {
    super('the connection broke during a commit, and the database could not be asked for its outcome', { cause });
    this.name = 'OutcomeUnknown';
  }
}
