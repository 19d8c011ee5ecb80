import {
  type MemoryActor,
  memoryCreateSchema,
  memoryDeletedSchema,
  memoryDeleteQuerySchema,
  memoryListItemSchema,
  memoryListQuerySchema,
  memoryStoreCreateSchema,
  memoryStoreDeletedSchema,
  memoryStoreListQuerySchema,
  memoryStoreSchema,
  memoryStoreUpdateSchema,
  memoryUpdateSchema,
  memoryVersionListQuerySchema,
  memoryVersionSchema,
  memoryViewQuerySchema,
  pageOf,
  storedMemorySchema,
} from '@cloister/api';
import type { AppContext } from '../context.ts';
import { type RouteTable, route } from '../openapi.ts';
import { createdRange, toPage } from './paging.ts';

const tag = 'Memory';
const MISSING = ['memory_store_not_found'] as const;
const WRITING = [...MISSING, 'memory_store_archived'] as const;

export function memoryRoutes(table: RouteTable): void {
  storeRoutes(table);
  changeStoreRoutes(table);
  readRoutes(table);
  writeRoutes(table);
  versionRoutes(table);
}

function storeRoutes(table: RouteTable): void {
  const { memory } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/memory_stores',
      operationId: 'createMemoryStore',
      summary: 'Create a memory store',
      tag,
      body: memoryStoreCreateSchema,
      response: memoryStoreSchema,
    },
    ({ tenantId, body, reservation }) => memory.createStore(tenantId, body, reservation.idFor('memoryStore')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/memory_stores',
      operationId: 'listMemoryStores',
      summary: 'List memory stores',
      tag,
      query: memoryStoreListQuerySchema,
      response: pageOf(memoryStoreSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query }) => {
      const { limit, page, include_archived: includeArchived = false } = query;
      return toPage(await memory.listStores(tenantId, { limit, page, order: 'desc', includeArchived, ...createdRange(query) }));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/memory_stores/{id}',
      operationId: 'getMemoryStore',
      summary: 'Get a memory store',
      tag,
      response: memoryStoreSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => memory.getStore(tenantId, param('id')),
  );
}

function changeStoreRoutes(table: RouteTable): void {
  const { memory } = table.deps;
  const path = '/v1/memory_stores/{id}';
  route(
    table,
    {
      method: 'post',
      path,
      operationId: 'updateMemoryStore',
      summary: 'Change name, description or metadata of a memory store',
      tag,
      body: memoryStoreUpdateSchema,
      response: memoryStoreSchema,
      problems: WRITING,
    },
    ({ tenantId, body, param }) => memory.updateStore(tenantId, param('id'), body),
  );
  route(
    table,
    {
      method: 'post',
      path: `${path}/archive`,
      operationId: 'archiveMemoryStore',
      summary: 'Archive a memory store: readable, but nothing in it changes any more',
      tag,
      response: memoryStoreSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => memory.archiveStore(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'delete',
      path,
      operationId: 'deleteMemoryStore',
      summary: 'Delete a memory store with its memories and all their versions',
      tag,
      response: memoryStoreDeletedSchema,
      problems: MISSING,
    },
    async ({ tenantId, param }) => {
      await memory.removeStore(tenantId, param('id'));
      return { id: param('id'), type: 'memory_store_deleted' as const };
    },
  );
}

function readRoutes(table: RouteTable): void {
  const { memory } = table.deps;
  const path = '/v1/memory_stores/{id}/memories';
  route(
    table,
    {
      method: 'get',
      path,
      operationId: 'listMemories',
      summary: 'List the memories of a store by their paths',
      tag,
      query: memoryListQuerySchema,
      response: pageOf(memoryListItemSchema),
      problems: [...MISSING, 'cursor_invalid'],
    },
    async ({ tenantId, query, param }) => {
      const { limit, page, view, path_prefix: prefix, depth } = query;
      const scope = { tenantId, storeId: param('id') };
      const { data, next } = await memory.list(scope, { limit, page, prefix, depth, isFull: view === 'full' });
      return { data, next_page: next };
    },
  );
  route(
    table,
    {
      method: 'get',
      path: `${path}/{memory_id}`,
      operationId: 'getMemory',
      summary: 'Get a memory',
      tag,
      query: memoryViewQuerySchema,
      response: storedMemorySchema,
      problems: [...MISSING, 'memory_not_found'],
    },
    async ({ tenantId, query, param }) => {
      const found = await memory.get({ tenantId, storeId: param('id') }, param('memory_id'));
      return query.view === 'basic' ? { ...found, content: null } : found;
    },
  );
}

function writeRoutes(table: RouteTable): void {
  const { memory } = table.deps;
  const path = '/v1/memory_stores/{id}/memories';
  route(
    table,
    {
      method: 'post',
      path,
      operationId: 'createMemory',
      summary: 'Write a new memory',
      tag,
      query: memoryViewQuerySchema,
      body: memoryCreateSchema,
      response: storedMemorySchema,
      problems: [...WRITING, 'memory_path_conflict', 'memory_limit_reached', 'plan_limit_reached'],
    },
    ({ c, tenantId, body, param, reservation }) =>
      memory.create({ tenantId, storeId: param('id') }, body, actorOf(c), reservation.idFor('memory')),
  );
  route(
    table,
    {
      method: 'post',
      path: `${path}/{memory_id}`,
      operationId: 'updateMemory',
      summary: 'Change the text or the path of a memory',
      tag,
      query: memoryViewQuerySchema,
      body: memoryUpdateSchema,
      response: storedMemorySchema,
      problems: [...WRITING, 'memory_not_found', 'memory_path_conflict', 'memory_precondition_failed', 'plan_limit_reached'],
    },
    ({ c, tenantId, body, param }) => memory.update({ tenantId, storeId: param('id') }, param('memory_id'), body, actorOf(c)),
  );
  route(
    table,
    {
      method: 'delete',
      path: `${path}/{memory_id}`,
      operationId: 'deleteMemory',
      summary: 'Delete a memory; its versions stay',
      tag,
      query: memoryDeleteQuerySchema,
      response: memoryDeletedSchema,
      problems: [...WRITING, 'memory_not_found', 'memory_precondition_failed'],
    },
    async ({ c, tenantId, query, param }) => {
      await memory.remove({ tenantId, storeId: param('id') }, param('memory_id'), actorOf(c), query.expected_content_sha256);
      return { id: param('memory_id'), type: 'memory_deleted' as const };
    },
  );
}

function versionRoutes(table: RouteTable): void {
  const { memory } = table.deps;
  const path = '/v1/memory_stores/{id}/memory_versions';
  route(
    table,
    {
      method: 'get',
      path,
      operationId: 'listMemoryVersions',
      summary: 'List what was done to the memories of a store, the newest first',
      tag,
      query: memoryVersionListQuerySchema,
      response: pageOf(memoryVersionSchema),
      problems: [...MISSING, 'cursor_invalid'],
    },
    async ({ tenantId, query, param }) => {
      if (query.service_account_id !== undefined) return { data: [], next_page: null };
      const { limit, page, memory_id: memoryId, operation, view } = query;
      const actor =
        query.api_key_id !== undefined
          ? { field: 'api_key_id', value: query.api_key_id }
          : query.session_id === undefined
            ? undefined
            : { field: 'session_id', value: query.session_id };
      const scope = { tenantId, storeId: param('id') };
      const listed = await memory.listVersions(scope, { limit, page, order: 'desc', memoryId, operation, actor, ...createdRange(query) });
      const data = listed.data.map((version) => (view === 'full' ? version : { ...version, content: null }));
      return toPage({ ...listed, data });
    },
  );
  route(
    table,
    {
      method: 'get',
      path: `${path}/{version_id}`,
      operationId: 'getMemoryVersion',
      summary: 'Get a version of a memory',
      tag,
      query: memoryViewQuerySchema,
      response: memoryVersionSchema,
      problems: [...MISSING, 'memory_version_not_found'],
    },
    async ({ tenantId, query, param }) => {
      const found = await memory.getVersion({ tenantId, storeId: param('id') }, param('version_id'));
      return query.view === 'basic' ? { ...found, content: null } : found;
    },
  );
  route(
    table,
    {
      method: 'post',
      path: `${path}/{version_id}/redact`,
      operationId: 'redactMemoryVersion',
      summary: 'Take the text and the path out of a version, for good',
      tag,
      response: memoryVersionSchema,
      problems: [...MISSING, 'memory_version_not_found', 'memory_version_current'],
    },
    ({ c, tenantId, param }) => memory.redact({ tenantId, storeId: param('id') }, param('version_id'), actorOf(c)),
  );
}

function actorOf(c: AppContext): MemoryActor {
  const { kind, id } = c.get('principal');
  return kind === 'user' ? { type: 'user_actor', user_id: id } : { type: 'api_actor', api_key_id: id };
}
