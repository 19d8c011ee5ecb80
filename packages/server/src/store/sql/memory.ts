import { invariant, PlatformError } from '../../base/errors.ts';
import type { MemoryChange, MemoryStores, MemoryText, MemoryWithContent } from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { parseMemory, parseStore, parseVersion, parseWithContent } from './memory-rows.ts';
import { archiveStore, createStore, holdOpenStore, listStores, removeStore, updateStore } from './memory-stores.ts';
import { requireStorage } from './plans.ts';
import { allAs, get, getAs, type Query, run, type Sql } from './query.ts';
import { integer } from './rows.ts';

const OF_STORE = 'tenant_id = :tenantId AND store_id = :storeId';
const OF_ONE = `${OF_STORE} AND id = :id`;
const LIST = `SELECT id, store_id, path, content_sha256, size_bytes, version_id, created_at, updated_at
  FROM memories WHERE ${OF_STORE} ORDER BY path`;
const FIND = `SELECT * FROM memories WHERE ${OF_ONE}`;
const COUNT = `SELECT count(*) AS number FROM memories WHERE ${OF_STORE}`;
/** Another that has the path, or would have to be a directory for it, or the other way round. */
const IN_THE_WAY: Sql = ({ listOf }) => `SELECT * FROM memories WHERE ${OF_STORE} AND id <> :id
  AND (path IN ${listOf('ancestors')} OR substr(path, 1, CAST(:length AS INTEGER)) = :prefix) ORDER BY path LIMIT 1`;
const INSERT = `INSERT INTO memories (tenant_id, store_id, id, path, content, content_sha256, size_bytes, version_id, created_at, updated_at)
  VALUES (:tenantId, :storeId, :id, :path, :content, :sha256, :sizeBytes, :versionId, :now, :now)`;
const UPDATE = `UPDATE memories SET path = :path, content = :content, content_sha256 = :sha256, size_bytes = :sizeBytes,
  version_id = :versionId, updated_at = :now WHERE ${OF_ONE}`;
const REMOVE = `DELETE FROM memories WHERE ${OF_ONE}`;
const INSERT_VERSION = `INSERT INTO memory_versions
    (tenant_id, store_id, id, memory_id, operation, path, content, content_sha256, size_bytes, actor, created_at)
  VALUES (:tenantId, :storeId, :versionId, :id, :operation, :path, :content, :sha256, :sizeBytes, :actor, :now)`;
const SELECT_VERSION = 'SELECT * FROM memory_versions';
const FIND_VERSION = `${SELECT_VERSION} WHERE ${OF_ONE}`;
const IS_CURRENT = `SELECT 1 AS found FROM memories WHERE ${OF_STORE} AND version_id = :id`;
const REDACT = `UPDATE memory_versions SET path = NULL, content = NULL, content_sha256 = NULL, size_bytes = NULL,
  redacted_at = :now, redacted_by = :actor WHERE ${OF_ONE} AND redacted_at IS NULL`;

interface MemoryKey {
  readonly tenantId: string;
  readonly storeId: string;
}

export function createMemoryStores(engine: Engine): MemoryStores {
  return {
    createStore: (input) => engine.write(() => createStore(input)),
    findStore: ({ tenantId, id }) =>
      engine.read(() => getAs(parseStore, 'SELECT * FROM memory_stores WHERE tenant_id = :tenantId AND id = :id', { tenantId, id })),
    listStores: (input) => engine.read(() => listStores(input)),
    updateStore: (input) => engine.write(() => updateStore(input)),
    archiveStore: (input) => engine.write(() => archiveStore(input)),
    removeStore: (input) => engine.write(() => removeStore(input)),
    list: ({ tenantId, storeId }) => engine.read(() => allAs(parseMemory, LIST, { tenantId, storeId })),
    find: ({ tenantId, storeId, id }) => engine.read(() => getAs(parseWithContent, FIND, { tenantId, storeId, id })),
    create: (input) => engine.write(() => create(input)),
    update: (input) => engine.write(() => update(input)),
    remove: (input) => engine.write(() => remove(input)),
    listVersions: (input) => engine.read(() => listVersions(input)),
    findVersion: ({ tenantId, storeId, id }) => engine.read(() => getAs(parseVersion, FIND_VERSION, { tenantId, storeId, id })),
    redact: (input) => engine.write(() => redact(input)),
  };
}

function* create(input: Parameters<MemoryStores['create']>[0]): Query<MemoryWithContent> {
  const { tenantId, storeId, id, path, max, now, content, sha256, sizeBytes, versionId } = input;
  const key = { tenantId, storeId };
  yield* holdOpenStore(key);
  const made = yield* getAs(parseWithContent, FIND, { ...key, id });
  if (made !== undefined) return made;
  yield* requireFree(key, { id, path });
  const counted = yield* get(COUNT, { ...key });
  if (counted !== undefined && integer(counted, 'number') >= max)
    throw new PlatformError('memory_limit_reached', { detail: `The store has ${max} memories, and more are not allowed.` });
  yield* run(INSERT, { ...key, id, path, content, sha256, sizeBytes, versionId, now });
  yield* addVersion(key, { ...input, operation: 'created' });
  yield* requireStorage(tenantId, { isKept: true });
  return yield* requireMemory({ ...key, id });
}

function* update(input: Parameters<MemoryStores['update']>[0]): Query<MemoryWithContent> {
  const { tenantId, storeId, id, expected, now, versionId } = input;
  const key = { tenantId, storeId };
  yield* holdOpenStore(key);
  const current = yield* getAs(parseWithContent, FIND, { ...key, id });
  if (current === undefined) throw new PlatformError('memory_not_found');
  requireExpected(current, expected);
  const path = input.path ?? current.path;
  const { content, sha256, sizeBytes } = input.text ?? current;
  if (path === current.path && sha256 === current.sha256) return current;
  if (path !== current.path) yield* requireFree(key, { id, path });
  yield* run(UPDATE, { ...key, id, path, content, sha256, sizeBytes, versionId, now });
  yield* addVersion(key, { ...input, path, content, sha256, sizeBytes, operation: 'modified' });
  yield* requireStorage(tenantId, { isKept: true });
  return yield* requireMemory({ ...key, id });
}

function* remove(input: Parameters<MemoryStores['remove']>[0]): Query<boolean> {
  const { tenantId, storeId, id, expected } = input;
  const key = { tenantId, storeId };
  yield* holdOpenStore(key);
  const current = yield* getAs(parseWithContent, FIND, { ...key, id });
  if (current === undefined) return false;
  requireExpected(current, expected);
  yield* run(REMOVE, { ...key, id });
  yield* addVersion(key, { ...input, path: current.path, content: null, sha256: null, sizeBytes: null, operation: 'deleted' });
  return true;
}

function requireExpected({ sha256 }: MemoryWithContent, expected: string | undefined): void {
  if (expected === undefined || expected === sha256) return;
  throw new PlatformError('memory_precondition_failed', { detail: `The memory's text has the digest ${sha256} now.` });
}

/** Paths are files and directories where they are mounted, and none is both. */
function* requireFree(key: MemoryKey, { id, path }: { readonly id: string; readonly path: string }): Query<void> {
  const parts = path.split('/').slice(1);
  const ancestors = parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
  const prefix = `${path}/`;
  const params = { ...key, id, ancestors: JSON.stringify(ancestors), prefix, length: Array.from(prefix).length };
  const other = yield* getAs(parseMemory, IN_THE_WAY, params);
  if (other === undefined) return;
  throw new PlatformError('memory_path_conflict', { detail: `The memory ${other.id} at ${other.path} is in the way.` });
}

type Versioned = Omit<MemoryChange, 'versionId'> & {
  readonly versionId: string;
  readonly id: string;
  readonly path: string;
  readonly operation: 'created' | 'modified' | 'deleted';
} & { readonly [K in keyof MemoryText]: MemoryText[K] | null };

function* addVersion({ tenantId, storeId }: MemoryKey, version: Versioned): Query<void> {
  const { versionId, id, operation, path, content, sha256, sizeBytes, actor, now } = version;
  const row = { tenantId, storeId, versionId, id, operation, path, content, sha256, sizeBytes, actor: JSON.stringify(actor), now };
  yield* run(INSERT_VERSION, row);
}

function* requireMemory(key: MemoryKey & { readonly id: string }): Query<MemoryWithContent> {
  const { tenantId, storeId, id } = key;
  const row = yield* getAs(parseWithContent, FIND, { tenantId, storeId, id });
  invariant(row !== undefined, 'a memory that was just written exists');
  return row;
}

function* listVersions({ tenantId, storeId, memoryId, operation, actor, ...input }: Parameters<MemoryStores['listVersions']>[0]) {
  const params = {
    tenantId,
    storeId,
    ...(memoryId === undefined ? {} : { memoryId }),
    ...(operation === undefined ? {} : { operation }),
    // Actors are written by us, in one form.
    ...(actor === undefined ? {} : { actor: `${JSON.stringify({ [actor.field]: actor.value }).slice(1, -1)}` }),
  };
  const conditions = [
    OF_STORE,
    memoryId === undefined ? undefined : 'memory_id = :memoryId',
    operation === undefined ? undefined : 'operation = :operation',
    actor === undefined ? undefined : ACTED,
  ];
  return yield* listPage(
    {
      scope: ['memory-versions', tenantId, storeId, memoryId ?? '', operation ?? '', actor?.value ?? ''],
      select: SELECT_VERSION,
      filters: filtersOf(params, conditions, input),
      keys: [
        { column: 'created_at', as: 'created_at' },
        { column: 'id', as: 'id' },
      ],
      parse: parseVersion,
    },
    input,
  );
}

const ACTED: Sql = ({ name }) => (name === 'sqlite' ? 'instr(actor, :actor) > 0' : 'strpos(actor, :actor) > 0');

function* redact({ tenantId, storeId, id, actor, now }: Parameters<MemoryStores['redact']>[0]) {
  const key = { tenantId, storeId, id };
  if ((yield* get(FIND_VERSION, key)) === undefined) throw new PlatformError('memory_version_not_found');
  if ((yield* get(IS_CURRENT, key)) !== undefined) throw new PlatformError('memory_version_current');
  yield* run(REDACT, { ...key, actor: JSON.stringify(actor), now });
  const row = yield* getAs(parseVersion, FIND_VERSION, key);
  invariant(row !== undefined, 'a version that was just written exists');
  return row;
}
