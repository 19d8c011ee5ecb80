/**
 * The operations of the store, written once for every database. An operation is a generator that yields
 * statements and is handed their answers; it never knows whether the database answers at once (SQLite,
 * inside the group commit) or later (PostgreSQL, in a transaction of its own). Run again from its start it
 * must do the same: PostgreSQL may ask for that after a deadlock.
 */
export type Query<T> = Generator<Statement, T, Answer>;

export type Value = string | number | null;
/** By name; `:name` in the text. A name may occur several times. */
export type Params = Readonly<Record<string, Value>>;
export type Row = Readonly<Record<string, unknown>>;

/** Text that differs between databases is made from the dialect; it must be the same at every call. An empty one asks nothing. */
export type Sql = string | ((dialect: Dialect) => string);

export interface Statement {
  readonly sql: Sql;
  readonly params: Params;
  /** `rows`: the caller reads rows. `changes`: it reads how many rows were changed. */
  readonly reads: 'rows' | 'changes';
}

export interface Answer {
  readonly rows: readonly Row[];
  readonly changes: number;
}

/** The few words in which the databases differ. */
export interface Dialect {
  readonly name: 'sqlite' | 'postgres';
  /** The store's own time in ms, which no host's clock can move: an expression. */
  readonly now: string;
  /** Holds the rows that a SELECT reads until the transaction ends, where others could write meanwhile. */
  forUpdate(table?: string): string;
  /** As `forUpdate`, but passes rows by that another transaction holds. */
  forUpdateSkipLocked(table: string): string;
  /** The texts of the JSON list in the parameter (by name), as a subquery of one column `value`. */
  listOf(param: string): string;
  /** A join whose left side is read first. */
  readonly orderedJoin: string;
}

export function textOf(sql: Sql, dialect: Dialect): string {
  return typeof sql === 'string' ? sql : sql(dialect);
}

/** The first row, or undefined. */
export function* get(sql: Sql, params: Params = {}): Query<Row | undefined> {
  const { rows } = yield { sql, params, reads: 'rows' };
  return rows[0];
}

export function* all(sql: Sql, params: Params = {}): Query<readonly Row[]> {
  const { rows } = yield { sql, params, reads: 'rows' };
  return rows;
}

/** Returns how many rows were changed. */
export function* run(sql: Sql, params: Params = {}): Query<number> {
  const { changes } = yield { sql, params, reads: 'changes' };
  return changes;
}

/** The first row as what it stands for, or undefined. */
export function* getAs<T>(parse: (row: Row) => T, sql: Sql, params: Params = {}): Query<T | undefined> {
  const row = yield* get(sql, params);
  return row && parse(row);
}

export function* allAs<T>(parse: (row: Row) => T, sql: Sql, params: Params = {}): Query<readonly T[]> {
  return (yield* all(sql, params)).map(parse);
}
