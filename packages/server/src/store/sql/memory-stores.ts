import { invariant, PlatformError } from '../../base/errors.ts';
import type { MemoryStoreRow, MemoryStores } from '../store.ts';
import { filtersOf, listPage } from './listing.ts';
import { parseStore } from './memory-rows.ts';
import { getAs, type Query, run, type Sql } from './query.ts';

const SELECT = 'SELECT * FROM memory_stores';
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND id = :id`;
const HOLD: Sql = ({ forUpdate }) => `${FIND} ${forUpdate()}`;
const INSERT = `INSERT INTO memory_stores (tenant_id, id, name, description, metadata, created_at, updated_at)
  VALUES (:tenantId, :id, :name, :description, :metadata, :now, :now)`;
const UPDATE = `UPDATE memory_stores SET name = :name, description = :description, metadata = :metadata, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :id`;
const ARCHIVE = `UPDATE memory_stores SET archived_at = :now, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :id AND archived_at IS NULL`;
const REMOVE = [
  'DELETE FROM memory_versions WHERE tenant_id = :tenantId AND store_id = :id',
  'DELETE FROM memories WHERE tenant_id = :tenantId AND store_id = :id',
  'DELETE FROM memory_stores WHERE tenant_id = :tenantId AND id = :id',
];

export function* createStore(input: Parameters<MemoryStores['createStore']>[0]): Query<MemoryStoreRow> {
  const { tenantId, id, name, description, metadata, now } = input;
  const made = yield* getAs(parseStore, FIND, { tenantId, id });
  if (made !== undefined) return made;
  yield* run(INSERT, { tenantId, id, name, description, metadata: JSON.stringify(metadata), now });
  return yield* requireStore({ tenantId, id });
}

export function* listStores({ tenantId, includeArchived, ...input }: Parameters<MemoryStores['listStores']>[0]) {
  return yield* listPage(
    {
      scope: ['memory-stores', tenantId],
      select: SELECT,
      filters: filtersOf({ tenantId }, ['tenant_id = :tenantId', includeArchived ? undefined : 'archived_at IS NULL'], input),
      keys: [
        { column: 'created_at', as: 'created_at' },
        { column: 'id', as: 'id' },
      ],
      parse: parseStore,
    },
    input,
  );
}

export function* updateStore({ tenantId, id, now, ...change }: Parameters<MemoryStores['updateStore']>[0]): Query<MemoryStoreRow> {
  const current = yield* getAs(parseStore, HOLD, { tenantId, id });
  if (current === undefined) throw new PlatformError('memory_store_not_found');
  if (current.archivedAt !== null) throw new PlatformError('memory_store_archived');
  yield* run(UPDATE, {
    tenantId,
    id,
    now,
    name: change.name ?? current.name,
    description: change.description ?? current.description,
    metadata: JSON.stringify(change.metadata ?? current.metadata),
  });
  return yield* requireStore({ tenantId, id });
}

export function* archiveStore({ tenantId, id, now }: Parameters<MemoryStores['archiveStore']>[0]): Query<MemoryStoreRow> {
  if ((yield* getAs(parseStore, HOLD, { tenantId, id })) === undefined) throw new PlatformError('memory_store_not_found');
  yield* run(ARCHIVE, { tenantId, id, now });
  return yield* requireStore({ tenantId, id });
}

export function* removeStore({ tenantId, id }: Parameters<MemoryStores['removeStore']>[0]): Query<boolean> {
  if ((yield* getAs(parseStore, HOLD, { tenantId, id })) === undefined) return false;
  for (const sql of REMOVE) yield* run(sql, { tenantId, id });
  return true;
}

/** Holds the store until the end of the transaction: what is in it changes one after the other. */
export function* holdOpenStore({ tenantId, storeId }: { readonly tenantId: string; readonly storeId: string }): Query<void> {
  const store = yield* getAs(parseStore, HOLD, { tenantId, id: storeId });
  if (store === undefined) throw new PlatformError('memory_store_not_found');
  if (store.archivedAt !== null) throw new PlatformError('memory_store_archived');
}

function* requireStore({ tenantId, id }: { readonly tenantId: string; readonly id: string }): Query<MemoryStoreRow> {
  const row = yield* getAs(parseStore, FIND, { tenantId, id });
  invariant(row !== undefined, 'a memory store that was just written exists');
  return row;
}
