import type { JsonObject } from '../../base/json.ts';
import type { CreatedRange, Page, PageInput } from './common.ts';

/** Bytes in pieces. They are nobody's until a file or a version of a skill names them, and gone with it. */
export interface BlobStore {
  /** Throws `plan_limit_reached` when the tenant's storage is used up. */
  begin(input: { tenantId: string; id: string; now: number }): Promise<void>;
  /** `data` is base64; pieces are numbered from 0. Throws `file_not_found` when it was swept meanwhile. */
  append(input: { tenantId: string; id: string; number: number; data: string }): Promise<void>;
  /** One piece, in base64; undefined after the last. */
  chunk(input: { tenantId: string; id: string; number: number }): Promise<string | undefined>;
  /** Removes one that nobody has named. */
  discard(input: { tenantId: string; id: string }): Promise<void>;
  /** Removes those that were begun before `before` and that nobody has named, `limit` at most. */
  sweep(input: { tenantId: string; before: number; limit: number }): Promise<number>;
}

/** A blob that is whole. */
export interface WholeBlob {
  readonly blobId: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

export interface FileRow {
  readonly id: string;
  readonly tenantId: string;
  readonly blobId: string;
  readonly filename: string;
  readonly mimeType: string;
  readonly sizeBytes: number;
  readonly createdAt: number;
  readonly expiresAt: number | null;
}

/** Files that were uploaded, apart from any workspace. */
export interface FileStore {
  /** One that has the id already is returned as it is; the blob is then still nobody's. */
  create(
    input: WholeBlob & {
      tenantId: string;
      id: string;
      filename: string;
      mimeType: string;
      expiresAt: number | null;
      now: number;
    },
  ): Promise<FileRow>;
  /** One whose time is over counts as missing. */
  find(input: { tenantId: string; id: string; now: number }): Promise<FileRow | undefined>;
  list(input: { tenantId: string; ids?: readonly string[] | undefined; now: number } & PageInput): Promise<Page<FileRow>>;
  /** Removes it with its bytes; false when there was none. */
  remove(input: { tenantId: string; id: string }): Promise<boolean>;
  /** Removes those whose time is over, `limit` at most. */
  expire(input: { tenantId: string; now: number; limit: number }): Promise<number>;
}

export interface SkillRow {
  readonly id: string;
  readonly tenantId: string;
  readonly displayName: string;
  readonly latestVersionId: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface SkillVersionRow {
  readonly id: string;
  readonly tenantId: string;
  readonly skillId: string;
  readonly blobId: string;
  readonly name: string;
  readonly description: string;
  readonly createdAt: number;
}

export interface NewSkillVersion extends WholeBlob {
  readonly id: string;
  readonly name: string;
  readonly description: string;
}

/** Skills and their versions. A version never changes. */
export interface SkillStore {
  /** One that has the id already is returned as it is. */
  create(input: { tenantId: string; id: string; displayName: string; version: NewSkillVersion; now: number }): Promise<SkillRow>;
  find(input: { tenantId: string; id: string }): Promise<SkillRow | undefined>;
  list(input: { tenantId: string } & PageInput): Promise<Page<SkillRow>>;
  remove(input: { tenantId: string; id: string }): Promise<boolean>;
  /** Becomes the latest. One that has the id already is returned as it is. Throws `skill_not_found`. */
  addVersion(input: { tenantId: string; skillId: string; version: NewSkillVersion; now: number }): Promise<SkillVersionRow>;
  findVersion(input: { tenantId: string; skillId: string; id: string }): Promise<SkillVersionRow | undefined>;
  listVersions(input: { tenantId: string; skillId: string } & PageInput): Promise<Page<SkillVersionRow>>;
  /** The newest of what is left becomes the latest. False when there was none; throws `skill_version_needed` for the only one. */
  removeVersion(input: { tenantId: string; skillId: string; id: string; now: number }): Promise<boolean>;
}

export interface MemoryStoreRow {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly description: string;
  readonly metadata: JsonObject;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly archivedAt: number | null;
}

export interface MemoryRow {
  readonly id: string;
  readonly storeId: string;
  readonly path: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly versionId: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export type MemoryWithContent = MemoryRow & { readonly content: string };

export const MEMORY_OPERATIONS = ['created', 'modified', 'deleted'] as const;
export type MemoryOperation = (typeof MEMORY_OPERATIONS)[number];

export interface MemoryVersionRow {
  readonly id: string;
  readonly storeId: string;
  readonly memoryId: string;
  readonly operation: MemoryOperation;
  /** These four are null once it is redacted, and the last three for a deletion. */
  readonly path: string | null;
  readonly content: string | null;
  readonly sha256: string | null;
  readonly sizeBytes: number | null;
  readonly actor: JsonObject;
  readonly createdAt: number;
  readonly redactedAt: number | null;
  readonly redactedBy: JsonObject | null;
}

interface MemoryKey {
  readonly tenantId: string;
  readonly storeId: string;
}

/** Whose change it is, and the id its version gets. */
export interface MemoryChange {
  readonly versionId: string;
  readonly actor: JsonObject;
  readonly now: number;
}

export interface MemoryText {
  readonly content: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Texts that agents keep from session to session, each by its path, with all their versions. */
export interface MemoryStores {
  createStore(input: {
    tenantId: string;
    id: string;
    name: string;
    description: string;
    metadata: JsonObject;
    now: number;
  }): Promise<MemoryStoreRow>;
  findStore(input: { tenantId: string; id: string }): Promise<MemoryStoreRow | undefined>;
  listStores(input: { tenantId: string; includeArchived: boolean } & PageInput & CreatedRange): Promise<Page<MemoryStoreRow>>;
  /** Throws `memory_store_not_found`. */
  updateStore(input: {
    tenantId: string;
    id: string;
    name?: string | undefined;
    description?: string | undefined;
    metadata?: JsonObject | undefined;
    now: number;
  }): Promise<MemoryStoreRow>;
  archiveStore(input: { tenantId: string; id: string; now: number }): Promise<MemoryStoreRow>;
  /** Removes it with its memories and their versions. */
  removeStore(input: { tenantId: string; id: string }): Promise<boolean>;

  /** All of a store, by their paths; without their texts. */
  list(input: MemoryKey): Promise<readonly MemoryRow[]>;
  find(input: MemoryKey & { id: string }): Promise<MemoryWithContent | undefined>;
  /**
   * Throws `memory_store_not_found`, `memory_store_archived`, `memory_path_conflict` when another has the path or
   * would lie below or above it, `memory_limit_reached` at `max`. One that has the id already is returned as it is.
   */
  create(input: MemoryKey & MemoryChange & MemoryText & { id: string; path: string; max: number }): Promise<MemoryWithContent>;
  /** Changes what is given; nothing when it is so already. Throws as `create`, `memory_not_found`, `memory_precondition_failed`. */
  update(
    input: MemoryKey &
      MemoryChange & { id: string; path?: string | undefined; text?: MemoryText | undefined; expected?: string | undefined },
  ): Promise<MemoryWithContent>;
  /** False when there was none. Throws `memory_precondition_failed`, `memory_store_archived`. */
  remove(input: MemoryKey & MemoryChange & { id: string; expected?: string | undefined }): Promise<boolean>;
  listVersions(
    input: MemoryKey & {
      memoryId?: string | undefined;
      operation?: MemoryOperation | undefined;
      /** A field of the actor and its value. */
      actor?: { readonly field: string; readonly value: string } | undefined;
    } & PageInput &
      CreatedRange,
  ): Promise<Page<MemoryVersionRow>>;
  findVersion(input: MemoryKey & { id: string }): Promise<MemoryVersionRow | undefined>;
  /** Takes its text and path out, for good. Throws `memory_version_not_found`, `memory_version_current` for that of a memory there is. */
  redact(input: MemoryKey & { id: string; actor: JsonObject; now: number }): Promise<MemoryVersionRow>;
}
