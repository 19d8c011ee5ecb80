import { expirySchema, pageOf, storedFileDeletedSchema, storedFileListQuerySchema, storedFileSchema } from '@cloister/api';
import { PlatformError } from '../../base/errors.ts';
import { readAll } from '../../contents/contents.ts';
import { readMultipart } from '../multipart.ts';
import { type RouteTable, route } from '../openapi.ts';
import { answerStream, uploading } from './files.ts';
import { toPage } from './paging.ts';

const tag = 'Uploaded files';
const MISSING = ['stored_file_not_found'] as const;
const MAX_FIELD_BYTES = 1024;

export function storedFileRoutes(table: RouteTable): void {
  const { storedFiles } = table.deps;
  uploadRoute(table);
  route(
    table,
    {
      method: 'get',
      path: '/v1/files',
      operationId: 'listStoredFiles',
      summary: 'List uploaded files',
      tag,
      query: storedFileListQuerySchema,
      response: pageOf(storedFileSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query }) => {
      // None belongs to a session.
      if (query.scope_id !== undefined) return { data: [], next_page: null };
      const { limit, page, order } = query;
      return toPage(await storedFiles.list(tenantId, { limit, page, order, ids: query['ids[]'] ?? query.ids }));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/files/{id}',
      operationId: 'getStoredFile',
      summary: 'Get what is known of an uploaded file',
      tag,
      response: storedFileSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => storedFiles.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/files/{id}/content',
      operationId: 'readStoredFile',
      summary: 'The bytes of an uploaded file',
      tag,
      response: { mediaType: 'application/octet-stream', description: 'The bytes' },
      problems: [...MISSING, 'overloaded'],
    },
    async ({ c, tenantId, param }) => {
      const { row, chunks } = await storedFiles.open(tenantId, param('id'));
      const headers = { 'Content-Length': String(row.sizeBytes), 'Content-Type': row.mimeType };
      return answerStream(table, c, { chunks, headers, status: 200, name: row.filename, close: async () => undefined });
    },
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/files/{id}',
      operationId: 'deleteStoredFile',
      summary: 'Delete an uploaded file; what sessions have of it already stays',
      tag,
      response: storedFileDeletedSchema,
      problems: MISSING,
    },
    async ({ tenantId, param }) => {
      await storedFiles.remove(tenantId, param('id'));
      return { id: param('id'), type: 'file_deleted' as const };
    },
  );
}

function uploadRoute(table: RouteTable): void {
  route(
    table,
    {
      method: 'post',
      path: '/v1/files',
      operationId: 'uploadFile',
      summary: 'Upload a file',
      tag,
      rawBody: {
        mediaType: 'multipart/form-data',
        description: 'A part `file` with a filename; a field `expires_in_seconds` may come before it',
      },
      response: storedFileSchema,
      problems: ['upload_invalid', 'file_too_large', 'body_timeout', 'plan_limit_reached', 'disk_full'],
    },
    async ({ c, tenantId, reservation }) =>
      uploading(table, c, async (source) => {
        let expiresInMs: number | undefined;
        for await (const { name, filename, contentType, body } of readMultipart(source, c.req.header('content-type'))) {
          if (name === 'expires_in_seconds') expiresInMs = parseExpiry((await readAll(body, MAX_FIELD_BYTES)).toString('utf8'));
          if (name !== 'file' || filename === undefined) continue;
          const file = { filename, mimeType: contentType, body };
          // Awaited here: the source ends with the loop.
          return await table.deps.storedFiles.upload(tenantId, file, { id: reservation.idFor('file'), expiresInMs: () => expiresInMs });
        }
        throw new PlatformError('upload_invalid', {
          detail: 'The upload has no part `file` with a filename.',
          fields: [{ pointer: 'file', message: 'is missing' }],
        });
      }),
  );
}

function parseExpiry(text: string): number {
  const parsed = expirySchema.safeParse(text);
  if (parsed.success) return parsed.data * 1000;
  throw new PlatformError('request_invalid', {
    detail: 'expires_in_seconds is no number of seconds.',
    fields: [{ pointer: 'expires_in_seconds', message: '1 to 315360000' }],
  });
}
