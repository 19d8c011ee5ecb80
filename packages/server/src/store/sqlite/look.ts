import { PlatformError } from '../../base/errors.ts';
import { integer } from '../sql/rows.ts';
import { createSqlStore } from '../sql/sql-store.ts';
import type { Store } from '../store.ts';
import { openReader } from './connection.ts';
import { runQuery } from './run-query.ts';

/** A store that reads only, also while a server owns the file; of a schema that is up to date. Every write throws `store_locked`. */
export function lookIntoSqlite(file: string): Store {
  const db = openReader(file);
  return createSqlStore(
    {
      read: async (query) => runQuery(db, query(), () => 0),
      write: async () => {
        throw new PlatformError('store_locked', { detail: `${file} was opened to be read.` });
      },
      onCommit: () => () => undefined,
      close: async () => db.close(),
    },
    () => undefined,
  );
}

/** How many deliveries have ended before `before`. */
export function countEndedInSqlite(file: string, before: number): number {
  const db = openReader(file);
  try {
    return integer(db.get('SELECT count(*) AS n FROM deliveries WHERE ended_at < :before', { before }) ?? {}, 'n');
  } finally {
    db.close();
  }
}
