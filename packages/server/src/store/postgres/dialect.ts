import type { Dialect } from '../sql/query.ts';

/**
 * Sessions are the rows that are locked. The weaker of the two exclusive locks is enough: keys do not change,
 * and a row that only refers to a session need not wait for it.
 */
export const POSTGRES: Dialect = {
  name: 'postgres',
  now: '(extract(epoch FROM clock_timestamp()) * 1000)::bigint',
  forUpdate: (table) => (table === undefined ? 'FOR NO KEY UPDATE' : `FOR NO KEY UPDATE OF ${table}`),
  forUpdateSkipLocked: (table) => `FOR NO KEY UPDATE OF ${table} SKIP LOCKED`,
  listOf: (param) => `(SELECT value FROM jsonb_array_elements_text(CAST(:${param} AS jsonb)) AS list (value))`,
  orderedJoin: 'JOIN',
};
