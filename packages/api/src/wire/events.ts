import { z } from 'zod';
import { sessionAgentSchema } from './agents.ts';
import { APPROVAL_KINDS, APPROVAL_SCOPES } from './approvals.ts';
import { createdRangeShape, pageOf, pageQuerySchema, timestampSchema } from './common.ts';
import { TURN_OUTCOMES, turnErrorSchema, turnSchema } from './turns.ts';

const textBlockSchema = z.strictObject({ type: z.literal('text'), text: z.string() });
const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/, 'base64');

const base64ImageSchema = z.strictObject({
  type: z.literal('base64'),
  data: base64,
  media_type: z.enum(['image/png', 'image/jpeg', 'image/gif', 'image/webp']),
});
const base64DocumentSchema = z.strictObject({ type: z.literal('base64'), data: base64, media_type: z.string().max(128) });
const textDocumentSchema = z.strictObject({ type: z.literal('text'), data: z.string(), media_type: z.literal('text/plain') });

/** A file of `/v1/files`. */
const fileSourceSchema = z.strictObject({ type: z.literal('file'), file_id: z.string().min(1).max(256) });

/** Published, with nothing behind them here: the schema takes them, and the use case refuses them by name. */
const elsewhereSourceSchema = z.looseObject({ type: z.literal('url') });
const otherBlockSchema = z.looseObject({ type: z.enum(['redacted', 'search_result']) });
const otherEventSchema = z.looseObject({
  type: z.enum(['user.custom_tool_result', 'user.tool_result', 'user.define_outcome', 'system.message']),
});

const imageShape = { type: z.literal('image') };
const documentShape = { type: z.literal('document'), title: z.string().max(256).nullish(), context: z.string().max(4096).nullish() };

const contentBlockSchema = z.discriminatedUnion('type', [
  textBlockSchema,
  z.strictObject({ ...imageShape, source: z.discriminatedUnion('type', [base64ImageSchema, fileSourceSchema]) }),
  z.strictObject({
    ...documentShape,
    source: z.discriminatedUnion('type', [base64DocumentSchema, textDocumentSchema, fileSourceSchema]),
  }),
]);

const contentBlockParamSchema = z.discriminatedUnion('type', [
  textBlockSchema,
  z.strictObject({ ...imageShape, source: z.discriminatedUnion('type', [base64ImageSchema, fileSourceSchema, elsewhereSourceSchema]) }),
  z.strictObject({
    ...documentShape,
    source: z.discriminatedUnion('type', [base64DocumentSchema, textDocumentSchema, fileSourceSchema, elsewhereSourceSchema]),
  }),
  otherBlockSchema,
]);

/** A plain string is taken as one text block; extension. */
const contentSchema = z
  .union([z.string().min(1), z.array(contentBlockParamSchema).min(1).max(100)])
  .transform((content) => (typeof content === 'string' ? [{ type: 'text' as const, text: content }] : content));

const userMessageParamSchema = z.strictObject({ type: z.literal('user.message'), content: contentSchema });

export const initialEventParamSchema = z.discriminatedUnion('type', [userMessageParamSchema, otherEventSchema]);

export const eventParamSchema = z.discriminatedUnion('type', [
  userMessageParamSchema,
  z.strictObject({ type: z.literal('user.interrupt'), session_thread_id: z.string().nullish() }),
  z.strictObject({
    type: z.literal('user.tool_confirmation'),
    tool_use_id: z.string().min(1),
    result: z.enum(['allow', 'deny']),
    deny_message: z.string().max(4096).nullish().describe('Only with `deny`; the agent reads it'),
    scope: z
      .enum(APPROVAL_SCOPES)
      .optional()
      .describe('With `session`, later calls that the same rule asks about are allowed too; extension'),
  }),
  otherEventSchema,
]);

export const eventSendSchema = z.strictObject({ events: z.array(eventParamSchema).min(1).max(100) });

/** Fields of every event. `seq`, `turn_id` and `created_at` are extensions. */
const eventBase = {
  id: z.string(),
  seq: z.int().describe('1, 2, 3 … within the session; the `id:` of the stream'),
  turn_id: z.string().nullable(),
  created_at: timestampSchema,
  processed_at: timestampSchema.nullable(),
};

function event<T extends string, S extends z.ZodRawShape>(type: T, shape: S) {
  return z.object({ ...eventBase, type: z.literal(type), ...shape });
}

const outputContentSchema = z.array(z.object({ type: z.literal('text'), text: z.string() }));

const toolUseShape = {
  name: z.string(),
  input: z.record(z.string(), z.unknown()),
  evaluated_permission: z.enum(['allow', 'ask', 'deny']),
  evaluation: z.object({ type: z.enum(['always_allow', 'always_ask']) }).optional(),
};

const idleReasonSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('end_turn') }),
  z.object({ type: z.literal('requires_action'), event_ids: z.array(z.string()) }),
  z.object({ type: z.literal('retries_exhausted') }),
  z.object({ type: z.literal('refusal') }),
]);

export const eventSchema = z.discriminatedUnion('type', [
  event('user.message', {
    content: z.array(contentBlockSchema),
    retry_of: z.string().optional().describe('The turn whose message this one repeats'),
    model: z.string().optional().describe("The model of this message's turn, where it is not the agent's"),
  }),
  event('user.interrupt', {}),
  event('user.tool_confirmation', {
    tool_use_id: z.string(),
    result: z.enum(['allow', 'deny']),
    deny_message: z.string().nullable().optional(),
    scope: z.enum(APPROVAL_SCOPES).optional(),
  }),
  event('agent.message', { content: outputContentSchema }),
  event('agent.thinking', {}),
  event('agent.tool_use', toolUseShape),
  event('agent.tool_result', { tool_use_id: z.string(), content: outputContentSchema, is_error: z.boolean() }),
  event('agent.mcp_tool_use', {
    mcp_server_name: z.string().describe("One of the agent's `mcp_servers`"),
    ...toolUseShape,
  }),
  event('agent.mcp_tool_result', {
    mcp_tool_use_id: z.string().describe('The id of the `agent.mcp_tool_use` event'),
    content: outputContentSchema,
    is_error: z.boolean(),
  }),
  event('session.status_running', {}),
  event('session.status_idle', { stop_reason: idleReasonSchema, stop_details: z.null() }),
  event('session.status_rescheduled', {}),
  event('session.status_terminated', {}),
  event('session.error', {
    error: z.object({
      type: z.enum([
        'unknown_error',
        'model_overloaded_error',
        'model_rate_limited_error',
        'model_request_failed_error',
        'mcp_authentication_failed_error',
      ]),
      mcp_server_name: z.string().optional().describe('With `mcp_authentication_failed_error`'),
      message: z.string(),
      retry_status: z.object({ type: z.enum(['retrying', 'exhausted', 'terminal']) }),
      code: z.string(),
      fix: z.string(),
    }),
  }),
  event('session.updated', {
    title: z.string().nullable().optional(),
    metadata: z.record(z.string(), z.string()).optional(),
    agent: sessionAgentSchema.optional(),
  }),
  event('session.deleted', {}),
  event('span.model_request_start', { model: z.string().optional() }),
  event('span.model_request_end', {
    model_request_start_id: z.string(),
    is_error: z.boolean(),
    model_usage: z.object({
      input_tokens: z.int(),
      output_tokens: z.int(),
      cache_read_input_tokens: z.int(),
      cache_creation_input_tokens: z.int(),
    }),
  }),
  event('turn.ended', {
    event_id: z.string().describe('The `user.message` that asked for the turn'),
    outcome: z.enum(TURN_OUTCOMES),
    stop_reason: z.string().nullable(),
    error: turnErrorSchema.nullable(),
  }),
  event('approval.requested', {
    kind: z.enum(APPROVAL_KINDS).describe('Of a tool there is none: its `agent.tool_use` or `agent.mcp_tool_use` asks'),
    subject: z.record(z.string(), z.unknown()),
  }),
  event('approval.answered', {
    approval_id: z.string(),
    decision: z.enum(['allow', 'deny']),
    by: z.string(),
    raise: z.number().nullable(),
  }),
  event('approval.expired', { approval_id: z.string(), kind: z.enum(APPROVAL_KINDS), message: z.string() }),
  event('delivery.failed', {
    webhook_id: z.string(),
    delivery_id: z.string(),
    message_id: z.string(),
    event_type: z.string(),
    attempts: z.int(),
    last_status: z.int().nullable(),
    last_error: z.string(),
  }),
]);

export const eventPageSchema = pageOf(eventSchema).extend({
  first_seq: z.int().describe('Seq of the oldest event that is kept; one more than the last when none is. Extension'),
});

/** What a stream carries only while text is being written: never stored, never replayed, without `seq`. */
export const previewSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('event_start'), event: z.object({ type: z.enum(['agent.message', 'agent.thinking']), id: z.string() }) }),
  z.object({
    type: z.literal('event_delta'),
    event_id: z.string(),
    delta: z.object({ type: z.literal('content_delta'), index: z.int(), content: z.object({ type: z.literal('text'), text: z.string() }) }),
  }),
]);

/** What a stream carries first when what was asked for is no longer kept: never stored, never replayed. */
export const streamResetSchema = z.object({
  type: z.literal('stream.reset'),
  first_seq: z.int().describe('Seq of the oldest event there is; what comes before it is gone'),
});

export const eventSendResponseSchema = z.object({
  data: z.array(eventSchema).describe('The events as accepted'),
  turn: turnSchema.nullable().optional().describe('With `wait`: the turn of the last message'),
  events: z.array(eventSchema).optional().describe('With `wait`: all events of that turn so far'),
});

export const eventSendQuerySchema = z.strictObject({
  wait: z.coerce.number().min(0).max(600).optional().describe('Hold the answer until the turn ends or asks, for at most this many seconds'),
  beta: z.string().optional(),
});

const listOf = z.union([z.string(), z.array(z.string())]).transform((value) => (typeof value === 'string' ? [value] : value));

export const eventListQuerySchema = pageQuerySchema.extend({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  order: z.enum(['asc', 'desc']).default('asc'),
  'types[]': listOf.optional(),
  types: listOf.optional(),
  ...createdRangeShape,
});

const previewedType = z.enum(['agent.message', 'agent.thinking']);
const deltaTypes = z
  .union([previewedType, z.array(previewedType)])
  .transform((value): readonly string[] => (typeof value === 'string' ? [value] : value));

export const eventStreamQuerySchema = z.strictObject({
  after: z.coerce.number().int().min(0).optional().describe('Replay the events after this `seq` first, as `Last-Event-ID` does'),
  'event_deltas[]': deltaTypes.optional().describe('Also stream previews of these'),
  event_deltas: deltaTypes.optional(),
  beta: z.string().optional(),
});

export type EventParam = z.input<typeof eventParamSchema>;
export type ParsedEventParam = z.output<typeof eventParamSchema>;
export type SessionEvent = z.infer<typeof eventSchema>;
export type Preview = z.infer<typeof previewSchema>;
export type StreamReset = z.infer<typeof streamResetSchema>;
export type EventSendResponse = z.infer<typeof eventSendResponseSchema>;
