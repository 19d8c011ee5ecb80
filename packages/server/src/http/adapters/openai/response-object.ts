import type { Turn } from '@cloister/api';
import { z } from 'zod';
import type { Answer } from './answer.ts';
import { toOpenAiId } from './ids.ts';

const STATUSES = ['queued', 'in_progress', 'completed', 'failed', 'cancelled'] as const;

const textPartSchema = z.object({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(z.unknown()).max(0),
  logprobs: z.array(z.unknown()).max(0),
});

const outputMessageSchema = z.object({
  type: z.literal('message'),
  id: z.string(),
  status: z.enum(['in_progress', 'completed']),
  role: z.literal('assistant'),
  content: z.array(textPartSchema),
});

export const responseSchema = z.object({
  id: z.string(),
  object: z.literal('response'),
  created_at: z.int(),
  completed_at: z.int().nullable(),
  status: z.enum(STATUSES),
  background: z.boolean(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  incomplete_details: z.null(),
  instructions: z.string().nullable(),
  max_output_tokens: z.null(),
  metadata: z.record(z.string(), z.string()),
  model: z.string(),
  output: z.array(outputMessageSchema),
  output_text: z.string(),
  parallel_tool_calls: z.boolean(),
  previous_response_id: z.string().nullable(),
  conversation: z.object({ id: z.string() }).describe('The session, as `conversation` takes it'),
  store: z.literal(true),
  temperature: z.null(),
  text: z.object({ format: z.object({ type: z.literal('text') }) }),
  tool_choice: z.literal('auto'),
  tools: z.array(z.unknown()).max(0).describe('Always empty: an agent’s tools are its own'),
  top_p: z.null(),
  truncation: z.literal('disabled'),
  usage: z
    .object({
      input_tokens: z.int(),
      input_tokens_details: z.object({ cached_tokens: z.int(), cache_write_tokens: z.int() }),
      output_tokens: z.int(),
      output_tokens_details: z.object({ reasoning_tokens: z.int() }),
      total_tokens: z.int(),
    })
    .nullable(),
});

export type ResponseObject = z.infer<typeof responseSchema>;
export type OutputMessage = z.infer<typeof outputMessageSchema>;

export interface ResponseAbout {
  readonly turnId: string;
  readonly sessionId: string;
  readonly model: string;
  readonly createdAt: number;
  readonly background: boolean;
  readonly instructions: string | null;
  readonly previous: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

export function outputMessage(id: string, text: string, status: OutputMessage['status'] = 'completed'): OutputMessage {
  return { type: 'message', id: toOpenAiId('message', id), status, role: 'assistant', content: [textPart(text)] };
}

export function textPart(text: string): z.infer<typeof textPartSchema> {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

/** A response that has not ended, or with its answer. */
export function toResponse(
  about: ResponseAbout,
  answer: Answer | undefined,
  now: number,
  state: Turn['state'] = 'running',
): ResponseObject {
  const outcome = answer?.outcome;
  const isFailed = outcome === 'failed' || outcome === 'interrupted';
  const going = state === 'queued' ? 'queued' : 'in_progress';
  return {
    id: toOpenAiId('response', about.turnId),
    object: 'response',
    created_at: Math.floor(about.createdAt / 1000),
    completed_at: outcome === 'completed' ? Math.floor(now / 1000) : null,
    status: outcome === undefined ? going : isFailed ? 'failed' : outcome === 'cancelled' ? 'cancelled' : 'completed',
    background: about.background,
    error: isFailed
      ? { code: answer?.error?.code ?? 'server_error', message: answer?.error?.message ?? `The turn ended: ${outcome}.` }
      : null,
    incomplete_details: null,
    instructions: about.instructions,
    max_output_tokens: null,
    metadata: { ...about.metadata },
    model: about.model,
    output: (answer?.messages ?? []).map(({ id, text }) => outputMessage(id, text)),
    output_text: (answer?.messages ?? []).map(({ text }) => text).join(''),
    parallel_tool_calls: true,
    previous_response_id: about.previous,
    conversation: { id: toOpenAiId('conversation', about.sessionId) },
    store: true,
    temperature: null,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_p: null,
    truncation: 'disabled',
    usage: answer === undefined ? null : toUsage(answer.usage),
  };
}

function toUsage({ input, cached, output }: Answer['usage']): NonNullable<ResponseObject['usage']> {
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + output,
  };
}
