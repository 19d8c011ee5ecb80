import { z } from 'zod';
import {
  createdRangeShape,
  metadataPatchSchema,
  metadataSchema,
  nameSchema,
  pageQuerySchema,
  queryFlagSchema,
  timestampSchema,
} from './common.ts';

/** What one memory may hold. */
export const MAX_MEMORY_BYTES = 102_400;

const contentSchema = z
  .string()
  .refine((text) => text.isWellFormed(), 'holds half of a character')
  .refine((text) => new TextEncoder().encode(text).length <= MAX_MEMORY_BYTES, `at most ${MAX_MEMORY_BYTES} bytes`);
const pathSchema = z.string().refine(isMemoryPath, 'no path such as `/projects/notes.md`');
const viewSchema = z.enum(['basic', 'full']);

/** Begins with a slash, 1 to 20 segments, in NFC, at most 1,024 bytes, nothing that does not show. */
export function isMemoryPath(path: string): boolean {
  const segments = path.split('/').slice(1);
  return (
    path.startsWith('/') &&
    segments.length <= 20 &&
    segments.every((one) => one !== '' && one !== '.' && one !== '..' && new TextEncoder().encode(one).length <= 255) &&
    path.isWellFormed() &&
    path.normalize('NFC') === path &&
    !/[\p{Cc}\p{Cf}\u2028\u2029]/u.test(path) &&
    new TextEncoder().encode(path).length <= 1024
  );
}

export const memoryStoreCreateSchema = z.strictObject({
  name: nameSchema,
  description: z.string().max(1024).optional().describe('What is in it; the agent is told'),
  metadata: metadataSchema.optional(),
});

export const memoryStoreUpdateSchema = z.strictObject({
  name: nameSchema.nullish(),
  description: z.string().max(1024).nullish(),
  metadata: metadataPatchSchema.nullish(),
});

export const memoryStoreSchema = z.object({
  id: z.string(),
  type: z.literal('memory_store'),
  name: z.string(),
  description: z.string(),
  metadata: z.record(z.string(), z.string()),
  created_at: timestampSchema,
  updated_at: timestampSchema,
  archived_at: timestampSchema.nullable(),
});
export type MemoryStore = z.infer<typeof memoryStoreSchema>;
export type MemoryStoreCreate = z.infer<typeof memoryStoreCreateSchema>;
export type MemoryStoreUpdate = z.infer<typeof memoryStoreUpdateSchema>;

export const memoryStoreDeletedSchema = z.object({ id: z.string(), type: z.literal('memory_store_deleted') });

export const memoryStoreListQuerySchema = pageQuerySchema.extend({ include_archived: queryFlagSchema.optional(), ...createdRangeShape });

export const memoryViewQuerySchema = z.strictObject({
  view: viewSchema.default('full').describe('`basic` leaves the text out'),
  beta: z.string().optional(),
});

export const memoryListQuerySchema = pageQuerySchema.extend({
  view: viewSchema.default('basic'),
  path_prefix: z.string().max(1024).optional().describe('Only those whose path starts so'),
  depth: z.coerce
    .number()
    .int()
    .min(0)
    .max(20)
    .optional()
    .describe('How many levels below the prefix; what lies deeper is rolled up; 0 or left out: all'),
});

export const memoryCreateSchema = z.strictObject({ path: pathSchema, content: contentSchema.nullable() });

export const memoryUpdateSchema = z.strictObject({
  path: pathSchema.nullish(),
  content: contentSchema.nullish(),
  precondition: z
    .strictObject({ type: z.literal('content_sha256'), content_sha256: z.string().optional() })
    .optional()
    .describe('Refuse with 409 when the text is another one meanwhile'),
});

export const memoryDeleteQuerySchema = z.strictObject({
  expected_content_sha256: z.string().optional().describe('Refuse with 409 when the text is another one meanwhile'),
  beta: z.string().optional(),
});

export const storedMemorySchema = z.object({
  id: z.string(),
  type: z.literal('memory'),
  memory_store_id: z.string(),
  memory_version_id: z.string(),
  path: z.string(),
  content: z.string().nullable().describe('Null in the view `basic`'),
  content_sha256: z.string(),
  content_size_bytes: z.int(),
  created_at: timestampSchema,
  updated_at: timestampSchema,
});
export type Memory = z.infer<typeof storedMemorySchema>;
export type MemoryCreate = z.infer<typeof memoryCreateSchema>;
export type MemoryUpdate = z.infer<typeof memoryUpdateSchema>;

export const memoryListItemSchema = z.discriminatedUnion('type', [
  storedMemorySchema,
  z.object({ type: z.literal('memory_prefix'), path: z.string() }),
]);
export type MemoryListItem = z.infer<typeof memoryListItemSchema>;

export const memoryDeletedSchema = z.object({ id: z.string(), type: z.literal('memory_deleted') });

const actorSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('api_actor'), api_key_id: z.string() }),
  z.object({ type: z.literal('user_actor'), user_id: z.string() }),
  z.object({ type: z.literal('session_actor'), session_id: z.string() }),
]);
export type MemoryActor = z.infer<typeof actorSchema>;

export const memoryVersionSchema = z.object({
  id: z.string(),
  type: z.literal('memory_version'),
  memory_store_id: z.string(),
  memory_id: z.string(),
  operation: z.enum(['created', 'modified', 'deleted']),
  path: z.string().nullable(),
  content: z.string().nullable(),
  content_sha256: z.string().nullable(),
  content_size_bytes: z.int().nullable(),
  created_at: timestampSchema,
  created_by: actorSchema,
  redacted_at: timestampSchema.nullable(),
  redacted_by: actorSchema.nullable(),
});
export type MemoryVersion = z.infer<typeof memoryVersionSchema>;

export const memoryVersionListQuerySchema = pageQuerySchema.extend({
  view: viewSchema.default('basic'),
  memory_id: z.string().optional(),
  operation: z.enum(['created', 'modified', 'deleted']).optional(),
  api_key_id: z.string().optional(),
  session_id: z.string().optional(),
  service_account_id: z.string().optional().describe('Published; there are none here, so the list is then empty'),
  ...createdRangeShape,
});
