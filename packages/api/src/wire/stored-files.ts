import { z } from 'zod';
import { pageQuerySchema, timestampSchema } from './common.ts';

export const storedFileSchema = z.object({
  id: z.string(),
  type: z.literal('file'),
  filename: z.string(),
  mime_type: z.string(),
  size_bytes: z.int(),
  created_at: timestampSchema,
  expires_at: timestampSchema.nullable(),
  downloadable: z.boolean(),
  scope: z.null(),
});
export type StoredFile = z.infer<typeof storedFileSchema>;

export const storedFileDeletedSchema = z.object({ id: z.string(), type: z.literal('file_deleted') });

const idList = z.union([z.string(), z.array(z.string()).max(100)]).transform((value) => (typeof value === 'string' ? [value] : value));

export const storedFileListQuerySchema = pageQuerySchema.extend({
  order: z.enum(['asc', 'desc']).default('desc'),
  'ids[]': idList.optional(),
  ids: idList.optional(),
  scope_id: z.string().optional().describe('Published; no file here belongs to a session, so the list is then empty'),
});

/** How the text part of an upload says it; seconds, at most ten years. */
export const expirySchema = z.coerce.number().int().min(1).max(315_360_000);

const fileResourceParamSchema = z.strictObject({
  type: z.literal('file'),
  file_id: z.string().min(1).max(256),
  mount_path: z
    .string()
    .max(1024)
    .nullish()
    .describe(
      'Where it lies in the sandbox: below `/mnt/session/uploads` (read only) or `/workspace`; left out: `/mnt/session/uploads/<file_id>`',
    ),
});

const memoryResourceParamSchema = z.strictObject({
  type: z.literal('memory_store'),
  memory_store_id: z.string().min(1).max(256),
  access: z.enum(['read_write', 'read_only']).nullish().describe('`read_write` when left out'),
  instructions: z.string().max(4096).nullish().describe('How the agent is to use it'),
});

export const resourceParamSchema = z.discriminatedUnion('type', [
  fileResourceParamSchema,
  memoryResourceParamSchema,
  z.looseObject({ type: z.literal('github_repository') }),
]);
export type ResourceParam = z.infer<typeof resourceParamSchema>;

export const resourceAddSchema = fileResourceParamSchema;

export const fileResourceSchema = z.object({
  id: z.string(),
  type: z.literal('file'),
  file_id: z.string(),
  mount_path: z.string(),
  created_at: timestampSchema,
  updated_at: timestampSchema,
});

export const memoryResourceSchema = z.object({
  id: z.string().describe('Extension'),
  type: z.literal('memory_store'),
  memory_store_id: z.string(),
  access: z.enum(['read_write', 'read_only']),
  name: z.string(),
  description: z.string(),
  instructions: z.string().nullable(),
  mount_path: z.string(),
});

export const resourceSchema = z.discriminatedUnion('type', [fileResourceSchema, memoryResourceSchema]);
export type SessionResource = z.infer<typeof resourceSchema>;

export const resourceDeletedSchema = z.object({ id: z.string(), type: z.literal('session_resource_deleted') });
