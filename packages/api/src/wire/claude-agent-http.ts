import { z } from 'zod';

// The API of Claude Agent HTTP, as its clients know it. Fields that are unknown are left aside, as there.

const userIdSchema = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9_-]+$/, 'User ID can only contain alphanumeric characters, underscore, and hyphen');

/** Kept beside the session, and given back as it came. */
const MAX_METADATA = 16_384;

export const agentHttpSessionCreateSchema = z.looseObject({
  user_id: userIdSchema,
  subdir: z.string().max(200).nullish().describe("A directory of the user's, such as `my-project`; no `..`, not absolute"),
  metadata: z
    .record(z.string(), z.unknown())
    .refine((metadata) => JSON.stringify(metadata).length <= MAX_METADATA, `at most ${MAX_METADATA} characters as JSON`)
    .nullish(),
});

export const agentHttpSessionSchema = z.object({
  session_id: z.string(),
  user_id: z.string(),
  cwd: z.string().describe('Inside the sandbox'),
  created_at: z.string(),
  last_active_at: z.string(),
  message_count: z.int(),
  status: z.enum(['active', 'closed']),
  metadata: z.record(z.string(), z.unknown()),
});

export const agentHttpSessionListQuerySchema = z.object({ user_id: userIdSchema.optional() });
export const agentHttpSessionListSchema = z.array(z.string()).describe('Ids, the newest first; the newest 1000');

export const agentHttpChatSchema = z.looseObject({
  session_id: z
    .string()
    .min(1)
    .max(200)
    .regex(/^[A-Za-z0-9_-]+$/, 'Invalid session_id format'),
  message: z
    .string()
    .min(1)
    .max(100_000)
    .refine((text) => text.trim() !== '', 'Message cannot be empty'),
  timeout: z.int().min(1).max(600).nullish().describe('Seconds after which the turn is stopped; left out, TURN_TIMEOUT_SECONDS'),
});

export const agentHttpChatResponseSchema = z.object({
  session_id: z.string(),
  text: z.string(),
  tool_calls: z.array(z.object({ tool: z.string(), input: z.record(z.string(), z.unknown()) })),
  timestamp: z.string(),
});

/** One event of `/api/v1/chat/stream`; what does not belong to its type is null. */
export interface AgentHttpChunk {
  readonly type: 'text_delta' | 'tool_use' | 'done' | 'error';
  readonly text: string | null;
  readonly tool_name: string | null;
  readonly tool_input: Readonly<Record<string, unknown>> | null;
  readonly error: string | null;
}

/** Errors in the form of FastAPI, which NoClaw and Claude Agent HTTP are made with. */
export const detailErrorSchema = z.looseObject({
  detail: z.union([z.string(), z.array(z.object({ type: z.string(), loc: z.array(z.union([z.string(), z.int()])), msg: z.string() }))]),
});

export type AgentHttpSession = z.infer<typeof agentHttpSessionSchema>;
export type AgentHttpSessionCreate = z.output<typeof agentHttpSessionCreateSchema>;
