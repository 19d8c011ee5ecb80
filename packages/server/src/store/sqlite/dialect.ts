import type { Dialect } from '../sql/query.ts';

/** The one writer works alone, so nothing is locked. `:storeNow` is filled in by the connection. */
export const SQLITE: Dialect = {
  name: 'sqlite',
  now: ':storeNow',
  forUpdate: () => '',
  forUpdateSkipLocked: () => '',
  listOf: (param) => `(SELECT value FROM json_each(:${param}))`,
  // SQLite's planner keeps the order of a CROSS JOIN.
  orderedJoin: 'CROSS JOIN',
};
