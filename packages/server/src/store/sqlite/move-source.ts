import { existsSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import type { Clock } from '../../base/clock.ts';
import { invariant, PlatformError } from '../../base/errors.ts';
import { pendingMigrations } from '../sql/migrations.ts';
import type { MoveBatch, MoveSource } from '../sql/move-source.ts';
import type { Row } from '../sql/query.ts';
import { integer, text } from '../sql/rows.ts';
import { type Connection, createConnection, openReader } from './connection.ts';
import { toStoreError } from './failures.ts';
import { tableNames } from './maintenance.ts';
import { readLedger } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';
import { acquireOwnerLock } from './owner-lock.ts';

/** Batches grow while their rows are small. */
const SIZE = { first: 16, most: 1000, bytes: 2 * 1024 * 1024 } as const;
const PLACE = 'place_of_row';

/** Opens the file for a copy; not a byte of it changes. Throws `store_locked` while a server owns it. */
export function openMoveSource(file: string, clock: Clock): MoveSource {
  if (!existsSync(file)) throw new PlatformError('store_unavailable', { detail: `There is no database at ${file}.` });
  const lock = acquireOwnerLock(file, { pid: process.pid, nodeId: null, now: clock.now() });
  try {
    const db = openUntouched(file);
    try {
      return sourceOf(db, file, () => lock.release());
    } catch (error) {
      db.close();
      throw error;
    }
  } catch (error) {
    lock.release();
    throw toStoreError(error);
  }
}

function sourceOf(db: Connection, file: string, onClosed: () => void): MoveSource {
  if (pendingMigrations(MIGRATIONS, readLedger(db)).length > 0)
    throw new PlatformError('store_schema_changed', { detail: `${file} is of an older version: run \`cloister db migrate\` first.` });
  const installation = db.get('SELECT id FROM installation');
  if (installation === undefined)
    throw new PlatformError('store_unavailable', { detail: `${file} was never used by a server: there is nothing to move.` });
  return {
    installationId: text(installation, 'id'),
    tables: tablesInOrder(db),
    count: (table, upTo = Number.MAX_SAFE_INTEGER) => {
      const row = db.get(`SELECT count(*) AS n FROM "${table}" WHERE rowid <= :upTo`, { upTo });
      invariant(row !== undefined, 'a count has a row');
      return integer(row, 'n');
    },
    batches: (table, columns, after) => batchesOf(db, { table, columns, after }),
    close() {
      db.close();
      onClosed();
    },
  };
}

/** A log that was left by a crash has to be read too, and SQLite keeps an index of it beside the file. */
function openUntouched(file: string): Connection {
  const log = `${file}-wal`;
  if (existsSync(log) && statSync(log).size > 0) return openReader(file);
  const url = pathToFileURL(file);
  url.searchParams.set('immutable', '1');
  return createConnection(new DatabaseSync(url, { readOnly: true }));
}

function tablesInOrder(db: Connection): readonly string[] {
  const names = tableNames(db).filter((name) => name !== 'schema_migrations');
  const parentsOf = (name: string) =>
    db.all(`SELECT DISTINCT "table" AS parent FROM pragma_foreign_key_list('${name}')`).map((row) => text(row, 'parent'));
  const ordered: string[] = [];
  const place = (name: string): void => {
    if (ordered.includes(name)) return;
    for (const parent of parentsOf(name)) if (parent !== name) place(parent);
    ordered.push(name);
  };
  names.forEach(place);
  return ordered;
}

interface Part {
  readonly table: string;
  readonly columns: readonly string[];
  readonly after: number;
}

function* batchesOf(db: Connection, { table, columns, after }: Part): Generator<MoveBatch, void, void> {
  const list = columns.map((column) => `"${column}"`).join(', ');
  const sql = `SELECT rowid AS ${PLACE}, ${list} FROM "${table}" WHERE rowid > :after ORDER BY rowid LIMIT :limit`;
  let last = after;
  let limit: number = SIZE.first;
  for (;;) {
    const rows = db.all(sql, { after: last, limit });
    const end = rows.at(-1);
    if (end === undefined) return;
    last = integer(end, PLACE);
    yield { rows, last };
    limit = bytesOf(rows) < SIZE.bytes ? Math.min(limit * 2, SIZE.most) : Math.max(1, Math.floor(limit / 4));
  }
}

function bytesOf(rows: readonly Row[]): number {
  let bytes = 0;
  for (const row of rows) for (const value of Object.values(row)) bytes += typeof value === 'string' ? value.length : 8;
  return bytes;
}
