import { PlatformError } from '../../base/errors.ts';
import { get, type Params, type Query, type Row, type Sql } from './query.ts';

/** What a run holds: its own attempt, under a lease, not yet ended. Part of every statement by which a run writes. */
export const HOLDS = `id = :turnId AND attempt = :attempt AND state IN ('running', 'waiting_approval') AND lease_owner IS NOT NULL`;

/** Runs a statement that names the token; no row means that the token holds no more, and so nothing was changed. */
export function* fenced(sql: Sql, params: Params): Query<Row> {
  const row = yield* get(sql, params);
  if (row === undefined) throw new PlatformError('lease_lost');
  return row;
}
