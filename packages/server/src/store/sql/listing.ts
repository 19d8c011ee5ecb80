import { createHash } from 'node:crypto';
import { PlatformError } from '../../base/errors.ts';
import type { CreatedRange, Page, PageInput } from '../store.ts';
import { all, type Dialect, type Params, type Query, type Row, type Sql, textOf, type Value } from './query.ts';

/**
 * Pages by key: a cursor says which row a page ends at, so that rows that come or go meanwhile shift
 * nothing. It also carries a digest of the listing it was made by, and none other takes it.
 */
export interface Listing<T> {
  /** What the cursor is bound to: name, tenant, parent. */
  readonly scope: readonly string[];
  /** `SELECT … FROM …` without conditions. */
  readonly select: Sql;
  readonly filters: Filters;
  /** The columns that order the listing; together unique in it. `as` is their name in a row. */
  readonly keys: readonly { readonly column: string; readonly as: string }[];
  readonly parse: (row: Row) => T;
}

export interface Filters {
  readonly conditions: readonly Sql[];
  readonly params: Params;
}

type Key = readonly (string | number)[];

interface Cursor {
  readonly isBackward: boolean;
  readonly key: Key;
}

const DIGEST_LENGTH = 12;

export function* listPage<T>(listing: Listing<T>, input: PageInput): Query<Page<T>> {
  const digest = digestOf([...listing.scope, input.order]);
  const cursor = input.page === undefined ? undefined : parseCursor(input.page, digest, listing.keys.length);
  const isBackward = cursor?.isBackward ?? false;
  const isAscending = (input.order === 'asc') !== isBackward;
  // One row more than asked for tells whether there is another page.
  const rows = yield* all((dialect) => selectRows(dialect, listing, cursor, isAscending), {
    ...listing.filters.params,
    ...keyParams(cursor),
    limit: input.limit + 1,
  });
  const hasMore = rows.length > input.limit;
  const page = rows.slice(0, input.limit);
  if (isBackward) page.reverse();
  const cursorAt = (row: Row | undefined, backward: boolean): string | null =>
    row === undefined ? null : formatCursor(digest, { isBackward: backward, key: keyOf(row, listing) });
  return {
    data: page.map(listing.parse),
    next: isBackward || hasMore ? cursorAt(page.at(-1), false) : null,
    prev: (isBackward ? hasMore : cursor !== undefined) ? cursorAt(page.at(0), true) : null,
  };
}

/** The conditions of a listing that has none but those given; undefined ones are left out. */
export function filtersOf(
  params: Params,
  conditions: readonly (Sql | undefined)[],
  range: CreatedRange & { column?: string } = {},
): Filters {
  const column = range.column ?? 'created_at';
  const bounds = [
    ['>', 'createdGt', range.createdGt],
    ['>=', 'createdGte', range.createdGte],
    ['<', 'createdLt', range.createdLt],
    ['<=', 'createdLte', range.createdLte],
  ] as const;
  const given = bounds.flatMap(([operator, name, value]) => (value === undefined ? [] : [{ operator, name, value }]));
  return {
    conditions: [
      ...conditions.filter((condition) => condition !== undefined),
      ...given.map(({ operator, name }) => `${column} ${operator} :${name}`),
    ],
    params: { ...params, ...Object.fromEntries(given.map(({ name, value }): [string, Value] => [name, value])) },
  };
}

function selectRows<T>(dialect: Dialect, { select, filters, keys }: Listing<T>, cursor: Cursor | undefined, isAscending: boolean): string {
  const columns = keys.map((key) => key.column);
  const conditions = filters.conditions.map((condition) => textOf(condition, dialect));
  if (cursor !== undefined)
    conditions.push(`(${columns.join(', ')}) ${isAscending ? '>' : '<'} (${columns.map((_, index) => `:key${index}`).join(', ')})`);
  const order = columns.map((column) => `${column} ${isAscending ? 'ASC' : 'DESC'}`).join(', ');
  return `${textOf(select, dialect)} WHERE ${conditions.join(' AND ')} ORDER BY ${order} LIMIT :limit`;
}

function keyParams(cursor: Cursor | undefined): Params {
  return Object.fromEntries((cursor?.key ?? []).map((value, index) => [`key${index}`, value]));
}

function keyOf<T>(row: Row, listing: Listing<T>): Key {
  return listing.keys.map(({ as }) => {
    const value = row[as];
    if (typeof value === 'string' || typeof value === 'number') return value;
    throw new PlatformError('bug', { cause: new Error(`the key ${as} is not in the row`) });
  });
}

function digestOf(scope: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(scope)).digest('base64url').slice(0, DIGEST_LENGTH);
}

function formatCursor(digest: string, { isBackward, key }: Cursor): string {
  return Buffer.from(JSON.stringify([digest, isBackward, ...key])).toString('base64url');
}

function parseCursor(page: string, digest: string, length: number): Cursor {
  const value = decode(page);
  if (!Array.isArray(value) || value.length !== length + 2 || value[0] !== digest || typeof value[1] !== 'boolean')
    throw new PlatformError('cursor_invalid');
  const key: unknown[] = value.slice(2);
  if (!key.every(isKeyPart)) throw new PlatformError('cursor_invalid');
  return { isBackward: value[1], key };
}

function isKeyPart(part: unknown): part is string | number {
  return typeof part === 'string' || Number.isSafeInteger(part);
}

function decode(page: string): unknown {
  try {
    return JSON.parse(Buffer.from(page, 'base64url').toString('utf8'));
  } catch (error) {
    throw new PlatformError('cursor_invalid', { cause: error });
  }
}
