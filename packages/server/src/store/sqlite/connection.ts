import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { PlatformError } from '../../base/errors.ts';

export type Row = Readonly<Record<string, SQLOutputValue>>;
export type Params = Record<string, SQLInputValue>;

/** One connection with its prepared statements. Everything on it is synchronous and throws SQLite's own errors. */
export interface Connection {
  /** The first row, or undefined. */
  get(sql: string, params?: Params): Row | undefined;
  all(sql: string, params?: Params): Row[];
  /** Runs a statement without an answer; returns how many rows it changed. */
  run(sql: string, params?: Params): number;
  /** Runs several statements at once, unprepared. */
  exec(sql: string): void;
  /** False again when SQLite itself has rolled the transaction back, as it does on some failures. */
  isInTransaction(): boolean;
  close(): void;
}

/** How long a statement waits for a stranger's lock, such as a backup tool's. It blocks the process. */
const BUSY_MS = 2000;
/** The checkpointer folds the log long before; this is for when it cannot. */
const CHECKPOINT_PAGES = 16_000;
const JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024;

/** Opens the connection that writes. A transaction it has committed has been synced to the disk. */
export function openWriter(file: string): Connection {
  return open(new DatabaseSync(file, { timeout: BUSY_MS }), (database) => {
    // Only in a new file, where it is no write: unused pages are then given back little by little, see sql/retention.ts.
    if (database.prepare('PRAGMA page_count').get()?.page_count === 0) database.exec('PRAGMA auto_vacuum = INCREMENTAL;');
    // Savepoints keep their undo pages in memory: a full temporary directory must not fail a write.
    database.exec(`PRAGMA temp_store = MEMORY; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
      PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = ${JOURNAL_LIMIT_BYTES};
      PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};`);
    // Not an error of SQLite's: where it cannot share memory it answers with the mode it stayed in.
    const mode = database.prepare('PRAGMA journal_mode = WAL').get()?.journal_mode;
    if (mode !== 'wal' && mode !== 'memory') {
      throw new PlatformError('store_filesystem_unsafe', { detail: `${file} is on a file system that cannot carry a write-ahead log.` });
    }
  });
}

/** Opens a connection that sees what is committed and cannot write. */
export function openReader(file: string): Connection {
  return open(new DatabaseSync(file, { timeout: BUSY_MS, readOnly: true }), (database) => {
    database.exec('PRAGMA temp_store = MEMORY; PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;');
  });
}

function open(database: DatabaseSync, prepare: (database: DatabaseSync) => void): Connection {
  try {
    prepare(database);
  } catch (error) {
    database.close();
    throw error;
  }
  return createConnection(database);
}

export function createConnection(database: DatabaseSync): Connection {
  // Not bounded: the texts are constants and the few that listings put together from fixed parts.
  const statements = new Map<string, StatementSync>();
  const prepared = (sql: string): StatementSync => {
    const known = statements.get(sql);
    if (known !== undefined) return known;
    const statement = database.prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  return {
    get: (sql, params = {}) => prepared(sql).get(params),
    all: (sql, params = {}) => prepared(sql).all(params),
    run: (sql, params = {}) => Number(prepared(sql).run(params).changes),
    exec: (sql) => database.exec(sql),
    isInTransaction: () => database.isTransaction,
    close: () => {
      statements.clear();
      database.close();
    },
  };
}
