import { MEMORY_OPERATIONS, type MemoryRow, type MemoryStoreRow, type MemoryVersionRow, type MemoryWithContent } from '../store.ts';
import type { Row } from './query.ts';
import { integer, json, oneOf, optionalInteger, optionalText, text } from './rows.ts';

export function parseStore(row: Row): MemoryStoreRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    name: text(row, 'name'),
    description: text(row, 'description'),
    metadata: json(row, 'metadata'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
    archivedAt: optionalInteger(row, 'archived_at'),
  };
}

export function parseMemory(row: Row): MemoryRow {
  return {
    id: text(row, 'id'),
    storeId: text(row, 'store_id'),
    path: text(row, 'path'),
    sha256: text(row, 'content_sha256'),
    sizeBytes: integer(row, 'size_bytes'),
    versionId: text(row, 'version_id'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  };
}

export function parseWithContent(row: Row): MemoryWithContent {
  return { ...parseMemory(row), content: text(row, 'content') };
}

export function parseVersion(row: Row): MemoryVersionRow {
  return {
    id: text(row, 'id'),
    storeId: text(row, 'store_id'),
    memoryId: text(row, 'memory_id'),
    operation: oneOf(row, 'operation', MEMORY_OPERATIONS),
    path: optionalText(row, 'path'),
    content: optionalText(row, 'content'),
    sha256: optionalText(row, 'content_sha256'),
    sizeBytes: optionalInteger(row, 'size_bytes'),
    actor: json(row, 'actor'),
    createdAt: integer(row, 'created_at'),
    redactedAt: optionalInteger(row, 'redacted_at'),
    redactedBy: row.redacted_by === null ? null : json(row, 'redacted_by'),
  };
}
