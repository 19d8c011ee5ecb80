import { PlatformError } from '../../base/errors.ts';
import { TENANT_STATES, type TenantRow, type TenantStore } from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { all, get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, oneOf, text } from './rows.ts';

const SELECT = 'SELECT * FROM tenants';
const FIND = `${SELECT} WHERE id = :id`;
const HOLD: Sql = ({ forUpdate }) => `SELECT id FROM tenants WHERE id = :tenantId ${forUpdate()}`;
const INSERT = `INSERT INTO tenants (id, name, created_at, updated_at) VALUES (:id, :name, :now, :now) ON CONFLICT (id) DO NOTHING`;
const UPDATE = 'UPDATE tenants SET name = :name, state = :state, updated_at = :now WHERE id = :id';
const REMOVE = `DELETE FROM tenants WHERE id = :id AND state = 'deleting'`;

/** Kept as evidence for whoever runs the installation; it holds no content. */
const isKept = (table: string): boolean => table.startsWith('audit_');
/** Every table with a tenant, also those that later versions add: nothing of a deleted tenant is overlooked. */
const TABLES: Sql = ({ name }) =>
  name === 'sqlite'
    ? `SELECT m.name AS name FROM sqlite_schema m JOIN pragma_table_info(m.name) c ON c.name = 'tenant_id' WHERE m.type = 'table'`
    : `SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
        WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace`;
const REFERENCES: Sql = ({ name }) =>
  name === 'sqlite'
    ? `SELECT m.name AS child, f."table" AS parent FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`
    : `SELECT c.relname AS child, p.relname AS parent FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
        JOIN pg_class p ON p.oid = f.confrelid WHERE f.contype = 'f' AND c.relnamespace = current_schema()::regnamespace`;
/** The name comes from the database's own catalogue, quoted. */
const REMOVE_SOME =
  (table: string): Sql =>
  ({ name }) => {
    const quoted = `"${table.replaceAll('"', '""')}"`;
    return name === 'sqlite'
      ? `DELETE FROM ${quoted} WHERE rowid IN (SELECT rowid FROM ${quoted} WHERE tenant_id = :id LIMIT :limit)`
      : `DELETE FROM ${quoted} WHERE ctid = ANY (ARRAY (SELECT ctid FROM ${quoted} WHERE tenant_id = :id LIMIT :limit))`;
  };

export function createTenantStore(engine: Engine): TenantStore {
  return {
    create: ({ id, name, now }) =>
      engine.write(function* () {
        if ((yield* run(INSERT, { id, name, now })) === 0) return undefined;
        return yield* requireTenant(id);
      }),
    find: ({ id }) => engine.read(() => getAs(parseTenant, FIND, { id })),
    list: ({ state, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['tenants', state ?? ''],
            select: SELECT,
            // A listing has a condition.
            filters: filtersOf(state === undefined ? {} : { state }, [state === undefined ? 'id IS NOT NULL' : 'state = :state']),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseTenant,
          },
          input,
        ),
      ),
    update: ({ id, name, state, now }) =>
      engine.write(function* () {
        yield* holdTenant(id);
        const current = yield* requireTenant(id);
        const next = current.state === 'deleting' ? current.state : (state ?? current.state);
        yield* run(UPDATE, { id, now, name: name ?? current.name, state: next });
        return yield* requireTenant(id);
      }),
    purge: ({ id, limit }) => engine.write(() => purge(id, limit)),
  };
}

/** Those who count what a tenant has, and then write, wait for each other. Without a row there is nothing to wait for. */
export function* holdTenant(id: string): Query<void> {
  yield* get(HOLD, { tenantId: id });
}

function* purge(id: string, limit: number): Query<number> {
  yield* holdTenant(id);
  const tenant = yield* getAs(parseTenant, FIND, { id });
  if (tenant?.state !== 'deleting') return 0;
  let removed = 0;
  for (const table of yield* tablesChildrenFirst())
    if (removed < limit) removed += yield* run(REMOVE_SOME(table), { id, limit: limit - removed });
  if (removed === 0) yield* run(REMOVE, { id });
  return removed;
}

function* tablesChildrenFirst(): Query<readonly string[]> {
  const tables = (yield* all(TABLES))
    .map((row) => text(row, 'name'))
    .filter((table) => !isKept(table))
    .toSorted();
  const references = (yield* all(REFERENCES)).map((row) => ({ child: text(row, 'child'), parent: text(row, 'parent') }));
  const ordered: string[] = [];
  const place = (table: string, under: readonly string[]): void => {
    if (ordered.includes(table) || under.includes(table)) return;
    for (const { child, parent } of references) if (parent === table && child !== table) place(child, [...under, table]);
    if (tables.includes(table)) ordered.push(table);
  };
  for (const table of tables) place(table, []);
  return ordered;
}

function* requireTenant(id: string): Query<TenantRow> {
  const row = yield* getAs(parseTenant, FIND, { id });
  if (row === undefined) throw new PlatformError('tenant_not_found', { detail: `There is no tenant "${id.slice(0, 80)}".` });
  return row;
}

function parseTenant(row: Row): TenantRow {
  return {
    id: text(row, 'id'),
    name: text(row, 'name'),
    state: oneOf(row, 'state', TENANT_STATES),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  };
}
