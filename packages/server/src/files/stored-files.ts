import type { StoredFile } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Contents } from '../contents/contents.ts';
import type { ContentLimits } from '../core/content-limits.ts';
import type { FileRow, Page, PageInput, Store } from '../store/store.ts';

/** Use cases of files that were uploaded, apart from any workspace. Ids of other tenants are as missing ones. */
export interface StoredFiles {
  upload(
    tenantId: string,
    file: { readonly filename: string; readonly mimeType: string | undefined; readonly body: AsyncIterable<Uint8Array> },
    options?: { readonly id?: string | undefined; readonly expiresInMs?: () => number | undefined },
  ): Promise<StoredFile>;
  get(tenantId: string, id: string): Promise<StoredFile>;
  list(tenantId: string, input: PageInput & { readonly ids?: readonly string[] | undefined }): Promise<Page<StoredFile>>;
  open(tenantId: string, id: string): Promise<{ readonly row: FileRow; readonly chunks: AsyncGenerator<Uint8Array> }>;
  remove(tenantId: string, id: string): Promise<void>;
  /** Throws `stored_file_not_found` at the first id that is none. */
  requireAll(tenantId: string, ids: readonly string[]): Promise<void>;
}

const MIME_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/;
const EXPIRE_LIMIT = 20;

export interface StoredFilesDeps {
  readonly store: Pick<Store, 'files'>;
  readonly contents: Contents;
  readonly clock: Clock;
  readonly limits: ContentLimits;
}

export function createStoredFiles({ store, contents, clock, limits }: StoredFilesDeps): StoredFiles {
  async function require(tenantId: string, id: string): Promise<FileRow> {
    const row = await store.files.find({ tenantId, id, now: clock.now() });
    if (row !== undefined) return row;
    throw new PlatformError('stored_file_not_found', { detail: `There is no file "${id.slice(0, 80).toWellFormed()}".` });
  }
  return {
    async upload(tenantId, { filename, mimeType, body }, { id = newId('file'), expiresInMs } = {}) {
      const name = checkedName(filename);
      await store.files.expire({ tenantId, now: clock.now(), limit: EXPIRE_LIMIT });
      const blob = await contents.write(tenantId, body, { maxBytes: limits.maxUploadBytes });
      const now = clock.now();
      const expiresIn = expiresInMs?.();
      const expiresAt = expiresIn === undefined ? null : now + expiresIn;
      const kept = { filename: name, mimeType: checkedType(mimeType), expiresAt, now };
      const row = await contents.naming(tenantId, blob, () => store.files.create({ tenantId, id, ...blob, ...kept }));
      if (row.blobId !== blob.blobId) await contents.discard(tenantId, blob.blobId);
      return toStoredFile(row);
    },
    get: async (tenantId, id) => toStoredFile(await require(tenantId, id)),
    list: async (tenantId, input) => mapPage(await store.files.list({ tenantId, now: clock.now(), ...input }), toStoredFile),
    async open(tenantId, id) {
      const row = await require(tenantId, id);
      return { row, chunks: contents.read(tenantId, row.blobId) };
    },
    async remove(tenantId, id) {
      await require(tenantId, id);
      await store.files.remove({ tenantId, id });
    },
    async requireAll(tenantId, ids) {
      for (const id of new Set(ids)) await require(tenantId, id);
    },
  };
}

/** The last part of what the client calls it: a name, never a path. */
function checkedName(filename: string): string {
  const name = filename.split(/[/\\]/).at(-1)?.trim() ?? '';
  const isName = name !== '' && name !== '.' && name !== '..' && name.isWellFormed() && Buffer.byteLength(name) <= 255;
  if (isName && !/[\p{Cc}\p{Cf}\u2028\u2029]/u.test(name)) return name;
  throw new PlatformError('upload_invalid', {
    detail: 'The file has no name that could be kept: 1 to 255 bytes that show.',
    fields: [{ pointer: 'file', message: 'no usable filename' }],
  });
}

function checkedType(mimeType: string | undefined): string {
  const type = mimeType?.split(';')[0]?.trim().toLowerCase() ?? '';
  return MIME_TYPE.test(type) ? type : 'application/octet-stream';
}

function toStoredFile(row: FileRow): StoredFile {
  return {
    id: row.id,
    type: 'file',
    filename: row.filename,
    mime_type: row.mimeType,
    size_bytes: row.sizeBytes,
    created_at: toTimestamp(row.createdAt),
    expires_at: row.expiresAt === null ? null : toTimestamp(row.expiresAt),
    downloadable: true,
    scope: null,
  };
}
