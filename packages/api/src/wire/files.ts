import { z } from 'zod';
import { queryFlagSchema, timestampSchema } from './common.ts';
import { sessionSchema } from './sessions.ts';

const pathDescription = 'Relative to the workspace, such as `src/main.ts`';

export const workspaceFileSchema = z.object({
  type: z.literal('workspace_file'),
  name: z.string(),
  path: z.string().nullable().describe('Null for a name that no request can have: it goes with its directory'),
  kind: z.enum(['file', 'directory', 'link', 'other']),
  size_bytes: z.int(),
  modified_at: timestampSchema,
  is_executable: z.boolean(),
  target: z.string().nullable().describe('What a link says; it is never followed'),
});
export type WorkspaceFile = z.infer<typeof workspaceFileSchema>;

export const fileListQuerySchema = z.strictObject({
  path: z.string().optional().describe('The directory; left out: the workspace itself'),
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe('How many to return, 1 to 1000'),
  page: z.string().optional().describe('`next_page` of the page before'),
});

export const filePathQuerySchema = z.strictObject({ path: z.string().describe(pathDescription) });

export const fileWriteQuerySchema = z.strictObject({
  path: z.string().describe(pathDescription),
  overwrite: queryFlagSchema.optional().describe('`false` refuses when the file is there; true when left out'),
});

export const fileRemoveQuerySchema = z.strictObject({
  path: z.string().describe(pathDescription),
  recursive: queryFlagSchema.optional().describe('Also a directory that is not empty'),
});

export const archiveQuerySchema = z.strictObject({
  path: z.string().optional().describe('A directory of the workspace; left out: the workspace itself'),
});

export const directoryCreateSchema = z.strictObject({ path: z.string().describe(pathDescription) });

export const fileMoveSchema = z.strictObject({
  from: z.string().describe(pathDescription),
  to: z.string().describe(pathDescription),
  overwrite: z.boolean().optional().describe('Replace what has the new name'),
});
export type FileMove = z.input<typeof fileMoveSchema>;

export const fileDeletedSchema = z.object({ path: z.string(), type: z.literal('workspace_file_deleted') });

export const archiveUnpackedSchema = z.object({
  type: z.literal('workspace_archive_unpacked'),
  files: z.int(),
  directories: z.int(),
  links: z.int(),
  size_bytes: z.int(),
});
export type ArchiveUnpacked = z.infer<typeof archiveUnpackedSchema>;

export const workspaceSchema = z.object({
  type: z.literal('workspace'),
  session_id: z.string(),
  scope: z.enum(['session', 'agent']).describe('Whose it is: the session alone, or all sessions of its agent'),
  quota: z
    .enum(['enforced', 'watched', 'none'])
    .describe('`enforced` by a disk of that size; `watched`, and the turn stopped when it is over; `none` without one'),
  quota_reason: z.string().nullable().describe('Why it is watched only'),
  max_bytes: z.int().nullable(),
  used_bytes: z.int(),
  used_entries: z.int().describe('Files, directories and links'),
  is_whole: z.boolean().describe('False when there is more than was counted'),
});
export type Workspace = z.infer<typeof workspaceSchema>;

export const snapshotSchema = z.object({
  id: z.string(),
  type: z.literal('snapshot'),
  session_id: z.string(),
  created_at: timestampSchema,
  size_bytes: z.int().describe('Of the compressed copy'),
  omitted: z.int().describe('How many pipes, sockets, devices and unreadable files it does not hold'),
});
export type Snapshot = z.infer<typeof snapshotSchema>;

export const snapshotDeletedSchema = z.object({ id: z.string(), type: z.literal('snapshot_deleted') });

export const sessionForkSchema = z.strictObject({
  event_id: z.string().min(1).optional().describe('The last event that the fork has; left out: all of them'),
  title: z.string().max(512).nullish(),
});
export const forkedSessionSchema = sessionSchema.extend({
  workspace: z
    .enum(['as_of_event', 'current'])
    .describe('Whether the copy of the workspace is that of the last end of a turn that was kept before the event, or that of now'),
  workspace_seq: z.int().nullable().describe('With `as_of_event`: the last event that there was then'),
});
export type ForkedSession = z.infer<typeof forkedSessionSchema>;
export type SessionFork = z.input<typeof sessionForkSchema>;
