import { createHash } from 'node:crypto';
import type {
  Memory,
  MemoryActor,
  MemoryCreate,
  MemoryListItem,
  MemoryStore,
  MemoryStoreCreate,
  MemoryStoreUpdate,
  MemoryUpdate,
  MemoryVersion,
} from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { patchMetadata } from '../agents/definition.ts';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { toJsonObject } from '../base/json.ts';
import type { CreatedRange, MemoryOperation, MemoryStoreRow, MemoryText, Page, PageInput, Store } from '../store/store.ts';
import { listMemories, type MemoryListInput } from './listing.ts';
import { toMemory, toMemoryStore, toMemoryVersion } from './wire.ts';

/** What one store may hold. */
export const MAX_MEMORIES = 2000;

/** Use cases of memory stores. Ids of other tenants are as missing ones. */
export interface MemoryUse {
  createStore(tenantId: string, body: MemoryStoreCreate, id?: string): Promise<MemoryStore>;
  getStore(tenantId: string, id: string): Promise<MemoryStore>;
  listStores(tenantId: string, input: PageInput & CreatedRange & { includeArchived: boolean }): Promise<Page<MemoryStore>>;
  updateStore(tenantId: string, id: string, body: MemoryStoreUpdate): Promise<MemoryStore>;
  archiveStore(tenantId: string, id: string): Promise<MemoryStore>;
  removeStore(tenantId: string, id: string): Promise<void>;
  create(scope: MemoryScope, body: MemoryCreate, actor: MemoryActor, id?: string): Promise<Memory>;
  get(scope: MemoryScope, id: string): Promise<Memory>;
  list(scope: MemoryScope, input: MemoryListInput): Promise<{ readonly data: readonly MemoryListItem[]; readonly next: string | null }>;
  update(scope: MemoryScope, id: string, body: MemoryUpdate, actor: MemoryActor): Promise<Memory>;
  remove(scope: MemoryScope, id: string, actor: MemoryActor, expected?: string): Promise<void>;
  listVersions(scope: MemoryScope, input: VersionListInput): Promise<Page<MemoryVersion>>;
  getVersion(scope: MemoryScope, id: string): Promise<MemoryVersion>;
  redact(scope: MemoryScope, id: string, actor: MemoryActor): Promise<MemoryVersion>;
}

export interface MemoryScope {
  readonly tenantId: string;
  readonly storeId: string;
}

export interface VersionListInput extends PageInput, CreatedRange {
  readonly memoryId?: string | undefined;
  readonly operation?: MemoryOperation | undefined;
  readonly actor?: { readonly field: string; readonly value: string } | undefined;
}

export function createMemoryUse({ store, clock }: { readonly store: Pick<Store, 'memory'>; readonly clock: Clock }): MemoryUse {
  const { memory } = store;
  const change = (actor: MemoryActor) => ({ versionId: newId('memoryVersion'), actor: toJsonObject(actor), now: clock.now() });
  const requireStore = async ({ tenantId, storeId }: MemoryScope) => requireMemoryStore(store, tenantId, storeId);
  return {
    async createStore(tenantId, { name, description = '', metadata = {} }, id = newId('memoryStore')) {
      return toMemoryStore(await memory.createStore({ tenantId, id, name, description, metadata, now: clock.now() }));
    },
    getStore: async (tenantId, id) => toMemoryStore(await requireMemoryStore(store, tenantId, id)),
    listStores: async (tenantId, input) => mapPage(await memory.listStores({ tenantId, ...input }), toMemoryStore),
    async updateStore(tenantId, id, { name, description, metadata }) {
      const current = toMemoryStore(await requireMemoryStore(store, tenantId, id));
      return toMemoryStore(
        await memory.updateStore({
          tenantId,
          id,
          name: name ?? undefined,
          description: description === null ? '' : description,
          metadata: metadata === undefined || metadata === null ? undefined : patchMetadata(current.metadata, metadata),
          now: clock.now(),
        }),
      );
    },
    archiveStore: async (tenantId, id) => toMemoryStore(await memory.archiveStore({ tenantId, id, now: clock.now() })),
    async removeStore(tenantId, id) {
      if (!(await memory.removeStore({ tenantId, id }))) throw storeNotFound(id);
    },
    async create(scope, { path, content }, actor, id = newId('memory')) {
      return toMemory(await memory.create({ ...scope, ...change(actor), ...textOf(content ?? ''), id, path, max: MAX_MEMORIES }));
    },
    async get(scope, id) {
      await requireStore(scope);
      const row = await memory.find({ ...scope, id });
      if (row === undefined) throw new PlatformError('memory_not_found', { detail: `The store has no memory "${shown(id)}".` });
      return toMemory(row);
    },
    async list(scope, input) {
      await requireStore(scope);
      return listMemories(memory, scope, input);
    },
    async update(scope, id, { path, content, precondition }, actor) {
      const text = content === undefined || content === null ? undefined : textOf(content);
      const expected = precondition?.content_sha256;
      return toMemory(await memory.update({ ...scope, ...change(actor), id, path: path ?? undefined, text, expected }));
    },
    async remove(scope, id, actor, expected) {
      if (!(await memory.remove({ ...scope, ...change(actor), id, expected })))
        throw new PlatformError('memory_not_found', { detail: `The store has no memory "${shown(id)}".` });
    },
    async listVersions(scope, input) {
      await requireStore(scope);
      return mapPage(await memory.listVersions({ ...scope, ...input }), toMemoryVersion);
    },
    async getVersion(scope, id) {
      await requireStore(scope);
      const row = await memory.findVersion({ ...scope, id });
      if (row === undefined) throw new PlatformError('memory_version_not_found', { detail: `The store has no version "${shown(id)}".` });
      return toMemoryVersion(row);
    },
    async redact(scope, id, actor) {
      await requireStore(scope);
      return toMemoryVersion(await memory.redact({ ...scope, id, actor: toJsonObject(actor), now: clock.now() }));
    },
  };
}

export async function requireMemoryStore(store: Pick<Store, 'memory'>, tenantId: string, id: string): Promise<MemoryStoreRow> {
  const row = await store.memory.findStore({ tenantId, id });
  if (row === undefined) throw storeNotFound(id);
  return row;
}

/** A text with its digest and its size. */
export function textOf(content: string): MemoryText {
  return { content, sha256: createHash('sha256').update(content).digest('hex'), sizeBytes: Buffer.byteLength(content) };
}

function storeNotFound(id: string): PlatformError {
  return new PlatformError('memory_store_not_found', { detail: `There is no memory store "${shown(id)}".` });
}

function shown(id: string): string {
  return id.slice(0, 80).toWellFormed();
}
