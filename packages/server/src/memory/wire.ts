import type { Memory, MemoryActor, MemoryStore, MemoryVersion } from '@cloister/api';
import { toTimestamp } from '../base/clock.ts';
import type { JsonObject, MemoryRow, MemoryStoreRow, MemoryVersionRow } from '../store/store.ts';

export function toMemoryStore(row: MemoryStoreRow): MemoryStore {
  return {
    id: row.id,
    type: 'memory_store',
    name: row.name,
    description: row.description,
    metadata: Object.fromEntries(Object.entries(row.metadata).filter((pair): pair is [string, string] => typeof pair[1] === 'string')),
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
    archived_at: row.archivedAt === null ? null : toTimestamp(row.archivedAt),
  };
}

export function toMemory(row: MemoryRow & { readonly content?: string | null }): Memory {
  return {
    id: row.id,
    type: 'memory',
    memory_store_id: row.storeId,
    memory_version_id: row.versionId,
    path: row.path,
    content: row.content ?? null,
    content_sha256: row.sha256,
    content_size_bytes: row.sizeBytes,
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
  };
}

export function toMemoryVersion(row: MemoryVersionRow): MemoryVersion {
  return {
    id: row.id,
    type: 'memory_version',
    memory_store_id: row.storeId,
    memory_id: row.memoryId,
    operation: row.operation,
    path: row.path,
    content: row.content,
    content_sha256: row.sha256,
    content_size_bytes: row.sizeBytes,
    created_at: toTimestamp(row.createdAt),
    created_by: toActor(row.actor),
    redacted_at: row.redactedAt === null ? null : toTimestamp(row.redactedAt),
    redacted_by: row.redactedBy === null ? null : toActor(row.redactedBy),
  };
}

/** Actors are written by us, from this very type. */
function toActor(actor: JsonObject): MemoryActor {
  return actor as unknown as MemoryActor;
}
