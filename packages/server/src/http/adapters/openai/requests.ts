import { z } from 'zod';

/**
 * What OpenAI's clients send. Objects are loose: a field that only tunes a model has no meaning for an agent, and is
 * named in the answer's header; what would change what the answer is for is refused by `refusals.ts`.
 */
const textPart = z.looseObject({
  type: z.enum(['text', 'input_text', 'output_text', 'refusal']),
  text: z.string().optional(),
  refusal: z.string().optional(),
});
const imagePart = z.looseObject({
  type: z.enum(['image_url', 'input_image']),
  image_url: z.union([z.string(), z.looseObject({ url: z.string() })]).nullish(),
});
const filePart = z.looseObject({
  type: z.enum(['file', 'input_file']),
  file: z.looseObject({ file_data: z.string().optional(), filename: z.string().optional() }).optional(),
  file_data: z.string().nullish(),
  filename: z.string().max(256).nullish(),
});
const otherPart = z.looseObject({ type: z.enum(['input_audio']) });
const contentSchema = z.union([z.string(), z.array(z.discriminatedUnion('type', [textPart, imagePart, filePart, otherPart])).max(100)]);

export type Part = Exclude<z.output<typeof contentSchema>, string>[number];

const chatMessageSchema = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: contentSchema.nullish(),
});

/** One less than a session has, for what is kept there beside it. */
const MAX_PAIRS = 15;
const metadataSchema = z
  .record(z.string().min(1).max(64), z.string().max(512))
  .refine((metadata) => Object.keys(metadata).length <= MAX_PAIRS, `at most ${MAX_PAIRS} pairs`)
  .nullish();
const boolean = z.boolean().nullish();

export const chatRequestSchema = z.looseObject({
  model: z.string().min(1).max(256).describe('An agent, by its id or its name'),
  messages: z.array(chatMessageSchema).min(1).max(10_000),
  stream: boolean,
  stream_options: z.looseObject({ include_usage: boolean }).nullish(),
  user: z.string().min(1).max(512).nullish().describe('The same user of the same agent goes on with the same session'),
  metadata: metadataSchema.describe('`session_id`: a session’s id, or a name of your own for one; `environment_id`: where a new one works'),
  n: z.int().nullish(),
});

const inputItemSchema = z.looseObject({
  type: z.string().optional(),
  role: z.enum(['system', 'developer', 'user', 'assistant']).optional(),
  content: contentSchema.optional(),
});

export const responseRequestSchema = z.looseObject({
  model: z.string().min(1).max(256).describe('An agent, by its id or its name'),
  input: z.union([z.string(), z.array(inputItemSchema).max(10_000)]),
  instructions: z.string().max(100_000).nullish(),
  previous_response_id: z.string().max(256).nullish(),
  conversation: z.union([z.string().min(1).max(256), z.looseObject({ id: z.string().min(1).max(256) })]).nullish(),
  user: z.string().min(1).max(512).nullish(),
  metadata: metadataSchema,
  stream: boolean,
  background: boolean.describe('Answers at once; the turn goes on, and GET tells of it'),
  store: boolean,
});

export type ChatRequest = z.output<typeof chatRequestSchema>;
export type ResponseRequest = z.output<typeof responseRequestSchema>;
