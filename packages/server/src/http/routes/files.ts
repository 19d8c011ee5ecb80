import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import {
  archiveQuerySchema,
  archiveUnpackedSchema,
  directoryCreateSchema,
  fileDeletedSchema,
  fileListQuerySchema,
  fileMoveSchema,
  filePathQuerySchema,
  fileRemoveQuerySchema,
  fileWriteQuerySchema,
  pageOf,
  type WorkspaceFile,
  workspaceFileSchema,
} from '@cloister/api';
import { toTimestamp } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { readBytes } from '../../workspaces/read-bytes.ts';
import type { TreeEntry } from '../../workspaces/safe-tree.ts';
import type { AppContext } from '../context.ts';
import { type RouteTable, route } from '../openapi.ts';
import { bodyChunks, parseRange, toBody } from '../streaming.ts';

const tag = 'Files';
const FOUND = [
  'session_not_found',
  'path_invalid',
  'file_not_found',
  'file_refused',
  'workspace_unavailable',
  'capability_unsupported',
] as const;
const WRITING = [...FOUND, 'session_archived', 'file_conflict', 'workspace_full', 'plan_limit_reached', 'disk_full'] as const;

/** The files of a session's workspace. */
export function fileRoutes(table: RouteTable): void {
  const { files } = table.deps;
  route(
    table,
    {
      method: 'get',
      path: '/v1/sessions/{id}/files',
      operationId: 'listFiles',
      summary: "List a directory of the session's workspace, by name",
      tag,
      query: fileListQuerySchema,
      response: pageOf(workspaceFileSchema),
      problems: [...FOUND, 'cursor_invalid'],
    },
    async ({ c, tenantId, query, param }) => {
      const { path = '', limit, page } = query;
      const { entries, next } = await files.list({ tenantId, sessionId: param('id') }, { path, limit, page, signal: c.req.raw.signal });
      return { data: entries.map(toFile), next_page: next };
    },
  );
  contentRoutes(table);
  archiveRoutes(table);
  route(
    table,
    {
      method: 'delete',
      path: '/v1/sessions/{id}/files',
      operationId: 'deleteFile',
      summary: 'Delete a file, a link, or a directory',
      tag,
      query: fileRemoveQuerySchema,
      response: fileDeletedSchema,
      problems: WRITING,
    },
    async ({ tenantId, query, param }) => {
      await files.remove({ tenantId, sessionId: param('id') }, query.path, { isRecursive: query.recursive ?? false });
      return { path: query.path, type: 'workspace_file_deleted' as const };
    },
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/sessions/{id}/files/directories',
      operationId: 'createDirectory',
      summary: 'Make a directory, and those above it',
      tag,
      body: directoryCreateSchema,
      response: workspaceFileSchema,
      problems: WRITING,
    },
    async ({ tenantId, body, param }) => toFile(await files.makeDirectory({ tenantId, sessionId: param('id') }, body.path)),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/sessions/{id}/files/move',
      operationId: 'moveFile',
      summary: 'Move or rename a file or directory within the workspace',
      tag,
      body: fileMoveSchema,
      response: workspaceFileSchema,
      problems: WRITING,
    },
    async ({ tenantId, body, param }) => {
      const { from, to, overwrite: isReplacing = false } = body;
      return toFile(await files.move({ tenantId, sessionId: param('id') }, { from, to, isReplacing }));
    },
  );
}

function contentRoutes(table: RouteTable): void {
  const { files } = table.deps;
  const path = '/v1/sessions/{id}/files/content';
  route(
    table,
    {
      method: 'get',
      path,
      operationId: 'readFile',
      summary: 'The bytes of a file, or of a range of it',
      tag,
      query: filePathQuerySchema,
      headers: { Range: 'One range of bytes, such as `bytes=0-99`' },
      response: { mediaType: 'application/octet-stream', description: 'The bytes; 206 with a range' },
      problems: [...FOUND, 'range_invalid', 'overloaded'],
    },
    async ({ c, tenantId, query, param }) => {
      const file = await files.open({ tenantId, sessionId: param('id') }, query.path);
      try {
        const { size } = file.stats;
        const { start, length, isPart } = parseRange(c.req.header('range'), size);
        const headers = {
          'Content-Length': String(length),
          'Accept-Ranges': 'bytes',
          'Last-Modified': file.stats.mtime.toUTCString(),
          ...(isPart ? { 'Content-Range': `bytes ${start}-${start + length - 1}/${size}` } : {}),
        };
        const chunks = readBytes(file.handle, { start, length });
        return await answerStream(table, c, { chunks, headers, status: isPart ? 206 : 200, name: query.path, close: file.close });
      } catch (error) {
        await file.close();
        throw error;
      }
    },
  );
  route(
    table,
    {
      method: 'put',
      path,
      operationId: 'writeFile',
      summary: 'Write a file whole: make it, or replace it',
      tag,
      query: fileWriteQuerySchema,
      rawBody: { mediaType: 'application/octet-stream', description: 'The bytes of the file' },
      response: workspaceFileSchema,
      problems: [...WRITING, 'file_too_large', 'body_timeout'],
    },
    async ({ c, tenantId, query, param }) => {
      const isNew = query.overwrite === false;
      return uploading(table, c, async (source) =>
        toFile(await files.write({ tenantId, sessionId: param('id') }, query.path, source, { isNew, size: announcedSize(c) })),
      );
    },
  );
}

function archiveRoutes(table: RouteTable): void {
  const { files } = table.deps;
  const path = '/v1/sessions/{id}/files/archive';
  route(
    table,
    {
      method: 'get',
      path,
      operationId: 'downloadArchive',
      summary: 'A directory of the workspace as tar.gz, made while it is sent',
      tag,
      query: archiveQuerySchema,
      response: { mediaType: 'application/gzip', description: 'tar.gz' },
      problems: [...FOUND, 'overloaded'],
    },
    async ({ c, tenantId, query, param }) => {
      const packed = await files.pack({ tenantId, sessionId: param('id') }, query.path ?? '');
      const gzip = createGzip({ level: 5, chunkSize: 128 * 1024 });
      // Its errors come out at the other end.
      pipeline(Readable.from(packed, { objectMode: false }), gzip, () => undefined);
      const chunks: AsyncIterator<Uint8Array> = gzip[Symbol.asyncIterator]();
      const headers = { 'Content-Type': 'application/gzip' };
      const close = async () => void gzip.destroy();
      return answerStream(table, c, { chunks, headers, status: 200, name: `${param('id')}.tar.gz`, close });
    },
  );
  route(
    table,
    {
      method: 'put',
      path,
      operationId: 'uploadArchive',
      summary: 'Unpack a tar or tar.gz into a directory of the workspace: all of it or nothing',
      tag,
      query: archiveQuerySchema,
      rawBody: { mediaType: 'application/gzip', description: 'tar, or tar.gz' },
      response: archiveUnpackedSchema,
      problems: [...WRITING, 'archive_invalid', 'archive_too_large', 'body_timeout'],
    },
    async ({ c, tenantId, query, param }) =>
      uploading(table, c, async (source) => {
        const done = await files.unpack({ tenantId, sessionId: param('id') }, query.path ?? '', source, announcedSize(c));
        const { files: count, directories, links, bytes } = done;
        return { type: 'workspace_archive_unpacked' as const, files: count, directories, links, size_bytes: bytes };
      }),
  );
}

/** What the header says of the body; undefined for one whose end is not known. */
function announcedSize(c: AppContext): number | undefined {
  const size = Number(c.req.header('content-length'));
  return Number.isSafeInteger(size) && size >= 0 ? size : undefined;
}

interface StreamAnswer {
  readonly chunks: AsyncIterator<Uint8Array>;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: 200 | 206;
  readonly name: string;
  readonly close: () => Promise<void>;
}

/** Counts among the streams until it ends. What is sent is never shown as a page of this server's own. */
export async function answerStream({ deps, limits }: RouteTable, c: AppContext, answer: StreamAnswer): Promise<Response> {
  const fileName = answer.name.split('/').at(-1) ?? 'file';
  c.header('Content-Type', 'application/octet-stream');
  c.header('Content-Disposition', `attachment; filename*=UTF-8''${encodeURIComponent(fileName).replaceAll(/['()*]/g, '_')}`);
  c.header('Content-Security-Policy', "default-src 'none'; sandbox");
  c.header('Cache-Control', 'no-store');
  for (const [name, value] of Object.entries(answer.headers)) c.header(name, value);
  if (c.req.method === 'HEAD') {
    await answer.close();
    return c.body(null, answer.status);
  }
  const leave = limits.streams.take(c.get('principal').tenantId);
  c.get('flight').land();
  const body = toBody(answer.chunks, async () => {
    leave();
    await answer.close().catch((error: unknown) => deps.log.warn({ err: error }, 'a file that was sent could not be closed'));
  });
  return c.body(body, answer.status);
}

/** Counts among the streams while the body comes. */
export async function uploading<T>(
  { deps, limits }: RouteTable,
  c: AppContext,
  run: (source: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const leave = limits.streams.take(c.get('principal').tenantId);
  const source = bodyChunks(c, deps);
  try {
    return await run(source);
  } catch (error) {
    // Whoever has not been read to the end cannot use the connection again.
    if (error instanceof PlatformError) c.header('Connection', 'close');
    throw error;
  } finally {
    leave();
    await source.return(undefined);
  }
}

function toFile(entry: TreeEntry): WorkspaceFile {
  return {
    type: 'workspace_file',
    name: entry.name.toWellFormed(),
    path: entry.path ?? null,
    kind: entry.kind,
    size_bytes: entry.size,
    modified_at: toTimestamp(entry.modifiedAtMs),
    is_executable: entry.isExecutable,
    target: entry.target ?? null,
  };
}
