import { type Answer, type Params, type Query, type Statement, textOf } from '../sql/query.ts';
import type { Connection } from './connection.ts';
import { SQLITE } from './dialect.ts';

/** Runs an operation from its start to its end without giving way. `now` is the store's time in ms. */
export function runQuery<T>(db: Connection, query: Query<T>, now: () => number): T {
  let step = query.next();
  while (step.done !== true) step = query.next(answer(db, step.value, now));
  return step.value;
}

function answer(db: Connection, { sql, params, reads }: Statement, now: () => number): Answer {
  const text = textOf(sql, SQLITE);
  if (text === '') return { rows: [], changes: 0 };
  const bound: Params = text.includes(SQLITE.now) ? { ...params, storeNow: now() } : params;
  if (reads === 'changes') return { rows: [], changes: db.run(text, bound) };
  return { rows: db.all(text, bound), changes: 0 };
}
