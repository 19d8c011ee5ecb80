import { DatabaseSync } from 'node:sqlite';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import { integer } from '../sql/rows.ts';
import { type Connection, createConnection } from './connection.ts';
import { isBusy, toStoreError } from './failures.ts';

export interface OwnerLock {
  /** May be called twice. */
  release(): void;
}

export interface Owner {
  readonly pid: number;
  readonly nodeId: string | null;
  readonly now: number;
}

const OWNER_TABLE = `CREATE TABLE IF NOT EXISTS owner (
  id INTEGER PRIMARY KEY CHECK (id = 1), pid INTEGER NOT NULL, node_id TEXT, since INTEGER NOT NULL
) STRICT`;

/**
 * Makes this process the one owner of the database: an open write transaction on a second small database
 * beside it. The operating system ends it with the process, however that dies, so there is no stale lock;
 * and as others may still read, they can say who the owner is. Throws `store_locked`.
 */
export function acquireOwnerLock(file: string, owner: Owner): OwnerLock {
  const db = createConnection(new DatabaseSync(`${file}.lock`, { timeout: 0 }));
  try {
    hold(db, owner);
  } catch (error) {
    const refusal = isBusy(error) ? lockedError(db, file) : toStoreError(error);
    db.close();
    throw refusal;
  }
  let isHeld = true;
  return {
    release() {
      if (isHeld) db.close();
      isHeld = false;
    },
  };
}

function hold(db: Connection, owner: Owner): void {
  for (;;) {
    const isSigned = sign(db, owner);
    db.exec('BEGIN IMMEDIATE');
    // Between the two transactions another process may have signed: then the name has to be put right.
    if (!isSigned || readOwner(db)?.pid === owner.pid) return;
    db.exec('ROLLBACK');
  }
}

/** Says who we are to those who find the lock; false when the disk is too full for it, which is no reason not to start. */
function sign(db: Connection, owner: Owner): boolean {
  db.exec('BEGIN IMMEDIATE');
  try {
    db.exec(OWNER_TABLE);
    db.run('INSERT OR REPLACE INTO owner (id, pid, node_id, since) VALUES (1, :pid, :nodeId, :now)', { ...owner });
    db.exec('COMMIT');
    return true;
  } catch (error) {
    if (!isPlatformError(toStoreError(error), 'disk_full')) throw error;
    if (db.isInTransaction()) db.exec('ROLLBACK');
    return false;
  }
}

function lockedError(db: Connection, file: string): PlatformError {
  const owner = findOwner(db);
  const who = owner === undefined ? 'another process' : `process ${owner.pid}${owner.pid === process.pid ? ' (this one)' : ''}`;
  return new PlatformError('store_locked', { detail: `${file} is in use by ${who}; ${file}.lock is how it is kept.` });
}

/** Undefined in the instant in which the owner itself writes, or when nobody could sign. */
function findOwner(db: Connection): { readonly pid: number } | undefined {
  try {
    return readOwner(db);
  } catch {
    return undefined;
  }
}

function readOwner(db: Connection): { readonly pid: number } | undefined {
  const row = db.get('SELECT pid FROM owner');
  return row === undefined ? undefined : { pid: integer(row, 'pid') };
}
