// Defects in the statements themselves: what a driver is given is changed on its way to the database.
import { DatabaseSync } from 'node:sqlite';
import pg from 'pg';

interface SqlDefect {
  readonly find: RegExp;
  readonly put: string;
}

export const SQL_DEFECTS = {
  /** A run writes whatever became of its lease meanwhile. */
  no_fencing: {
    find: /attempt = (:attempt|\$\d+(?:::bigint)?) AND state IN \('running', 'waiting_approval'\) AND lease_owner IS NOT NULL/g,
    put: 'attempt >= $1 - 1000000',
  },
  /** The newest message of a session comes first. */
  order_ignored: {
    find: /(AS head_waits[\s\S]*ORDER BY t\.position) LIMIT 1/g,
    put: '$1 DESC LIMIT 1',
  },
} as const satisfies Readonly<Record<string, SqlDefect>>;

/** Changes every statement of this process, whichever database it is for. */
export function changeStatements({ find, put }: SqlDefect): void {
  const prepare = DatabaseSync.prototype.prepare;
  DatabaseSync.prototype.prepare = function (this: DatabaseSync, sql, ...rest) {
    return prepare.call(this, sql.replace(find, put), ...rest);
  };
  const query: (...args: unknown[]) => unknown = pg.Client.prototype.query;
  const changed = function (this: pg.Client, ...args: unknown[]): unknown {
    const [first, ...rest] = args;
    if (typeof first === 'string') return query.call(this, first.replace(find, put), ...rest);
    if (isQuery(first)) first.text = first.text.replace(find, put);
    return query.call(this, first, ...rest);
  };
  Object.assign(pg.Client.prototype, { query: changed });
}

function isQuery(value: unknown): value is { text: string } {
  return typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string';
}
