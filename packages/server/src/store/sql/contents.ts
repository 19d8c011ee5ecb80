import { PlatformError } from '../../base/errors.ts';
import type { BlobStore, FileRow, FileStore, WholeBlob } from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { dropExpiredHolds, requireStorage } from './plans.ts';
import { all, get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, optionalInteger, text } from './rows.ts';

const BEGIN = 'INSERT INTO blobs (tenant_id, id, size_bytes, created_at) VALUES (:tenantId, :id, 0, :now)';
const APPEND = `INSERT INTO blob_chunks (tenant_id, blob_id, number, data)
  SELECT tenant_id, id, :number, :data FROM blobs WHERE tenant_id = :tenantId AND id = :id`;
const GROW = 'UPDATE blobs SET size_bytes = size_bytes + :bytes WHERE tenant_id = :tenantId AND id = :id AND sha256 IS NULL';
const CHUNK = 'SELECT data FROM blob_chunks WHERE tenant_id = :tenantId AND blob_id = :id AND number = :number';
const FINISH = 'UPDATE blobs SET sha256 = :sha256, size_bytes = :sizeBytes WHERE tenant_id = :tenantId AND id = :blobId AND sha256 IS NULL';
const IS_UNNAMED = 'SELECT 1 AS found FROM blobs WHERE tenant_id = :tenantId AND id = :id AND sha256 IS NULL';
const UNNAMED: Sql = `SELECT id FROM blobs WHERE tenant_id = :tenantId AND sha256 IS NULL AND created_at < :before ORDER BY created_at LIMIT :limit`;
const REMOVE_BLOB = [
  'DELETE FROM blob_chunks WHERE tenant_id = :tenantId AND blob_id = :id',
  'DELETE FROM blobs WHERE tenant_id = :tenantId AND id = :id',
];

const SELECT_FILE = 'SELECT * FROM files';
const OF_FILE = 'tenant_id = :tenantId AND id = :id';
const IS_KEPT = '(expires_at IS NULL OR expires_at > :now)';
const INSERT_FILE = `INSERT INTO files (tenant_id, id, blob_id, filename, mime_type, size_bytes, expires_at, created_at)
  VALUES (:tenantId, :id, :blobId, :filename, :mimeType, :sizeBytes, :expiresAt, :now)`;
const REMOVE_FILE = `DELETE FROM files WHERE ${OF_FILE}`;
const EXPIRED = 'SELECT * FROM files WHERE tenant_id = :tenantId AND expires_at <= :now ORDER BY expires_at LIMIT :limit';

export function createBlobStore(engine: Engine): BlobStore {
  return {
    begin: ({ tenantId, id, now }) =>
      engine.write(function* () {
        yield* dropExpiredHolds(tenantId, now);
        yield* requireStorage(tenantId, { isKept: false });
        yield* run(BEGIN, { tenantId, id, now });
      }),
    append: ({ tenantId, id, number, data }) =>
      engine.write(function* () {
        if ((yield* run(APPEND, { tenantId, id, number, data })) === 0)
          throw new PlatformError('file_not_found', { detail: 'What was sent so far is gone: it took too long.' });
        yield* run(GROW, { tenantId, id, bytes: Buffer.byteLength(data, 'base64') });
        // Each piece counts as it comes, so that uploads at one moment see each other.
        yield* requireStorage(tenantId, { isKept: true });
      }),
    chunk: ({ tenantId, id, number }) =>
      engine.read(function* () {
        const row = yield* get(CHUNK, { tenantId, id, number });
        return row && text(row, 'data');
      }),
    discard: ({ tenantId, id }) =>
      engine.write(function* () {
        if ((yield* get(IS_UNNAMED, { tenantId, id })) !== undefined) yield* removeBlob({ tenantId, id });
      }),
    sweep: ({ tenantId, before, limit }) =>
      engine.write(function* () {
        const rows = yield* all(UNNAMED, { tenantId, before, limit });
        for (const row of rows) yield* removeBlob({ tenantId, id: text(row, 'id') });
        return rows.length;
      }),
  };
}

/** From now on it is somebody's, and counts. Throws when it is gone, and `plan_limit_reached` when it is too much. */
export function* nameBlob({ tenantId, blobId, sha256, sizeBytes }: WholeBlob & { readonly tenantId: string }): Query<void> {
  if ((yield* run(FINISH, { tenantId, blobId, sha256, sizeBytes })) === 0)
    throw new PlatformError('file_not_found', { detail: 'What was sent is gone: it took too long.' });
  yield* requireStorage(tenantId, { isKept: true });
}

export function* removeBlob({ tenantId, id }: { readonly tenantId: string; readonly id: string }): Query<void> {
  for (const sql of REMOVE_BLOB) yield* run(sql, { tenantId, id });
}

export function createFileStore(engine: Engine): FileStore {
  return {
    create: (input) =>
      engine.write(function* () {
        const { tenantId, id, blobId, filename, mimeType, sizeBytes, expiresAt, now } = input;
        const made = yield* getAs(parseFile, `${SELECT_FILE} WHERE ${OF_FILE}`, { tenantId, id });
        if (made !== undefined) return made;
        yield* nameBlob(input);
        yield* run(INSERT_FILE, { tenantId, id, blobId, filename, mimeType, sizeBytes, expiresAt, now });
        return { id, tenantId, blobId, filename, mimeType, sizeBytes, createdAt: now, expiresAt };
      }),
    find: ({ tenantId, id, now }) =>
      engine.read(() => getAs(parseFile, `${SELECT_FILE} WHERE ${OF_FILE} AND ${IS_KEPT}`, { tenantId, id, now })),
    list: ({ tenantId, ids, now, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['files', tenantId, ...(ids ?? [])],
            select: SELECT_FILE,
            filters: filtersOf({ tenantId, now, ...(ids === undefined ? {} : { ids: JSON.stringify(ids) }) }, [
              'tenant_id = :tenantId',
              IS_KEPT,
              ids === undefined ? undefined : ({ listOf }) => `id IN ${listOf('ids')}`,
            ]),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseFile,
          },
          input,
        ),
      ),
    remove: ({ tenantId, id }) =>
      engine.write(function* () {
        const row = yield* getAs(parseFile, `${SELECT_FILE} WHERE ${OF_FILE}`, { tenantId, id });
        if (row !== undefined) yield* removeFile(row);
        return row !== undefined;
      }),
    expire: ({ tenantId, now, limit }) =>
      engine.write(function* () {
        const rows = (yield* all(EXPIRED, { tenantId, now, limit })).map(parseFile);
        for (const row of rows) yield* removeFile(row);
        return rows.length;
      }),
  };
}

function* removeFile({ tenantId, id, blobId }: FileRow): Query<void> {
  yield* run(REMOVE_FILE, { tenantId, id });
  yield* removeBlob({ tenantId, id: blobId });
}

function parseFile(row: Row): FileRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    blobId: text(row, 'blob_id'),
    filename: text(row, 'filename'),
    mimeType: text(row, 'mime_type'),
    sizeBytes: integer(row, 'size_bytes'),
    createdAt: integer(row, 'created_at'),
    expiresAt: optionalInteger(row, 'expires_at'),
  };
}
