import { z } from 'zod';
import { endpointUrlSchema } from './webhooks.ts';

// The API of NoClaw, as its clients know it. Fields that are unknown are left aside, as there.

export const noclawUserSchema = z
  .string()
  .min(1)
  .max(128)
  .refine((user) => !/\p{Cc}/u.test(user), 'no control characters');

/** What a message may bring along for the agent to know. */
const MAX_CONTEXT = 100_000;

export const noclawWebhookSchema = z.looseObject({
  user: noclawUserSchema.describe('Whose conversation and files it is; a name of your own'),
  message: z
    .string()
    .min(1)
    .max(100_000)
    .refine((text) => text.trim() !== '', 'The message is empty'),
  context: z
    .record(z.string(), z.unknown())
    .refine((context) => JSON.stringify(context).length <= MAX_CONTEXT, `at most ${MAX_CONTEXT} characters as JSON`)
    .nullish()
    .describe('Told to the agent before the message'),
  callback_url: endpointUrlSchema.nullish().describe('Answer at once, and post the reply there when it is ready, signed'),
  model_hint: z
    .enum(['haiku', 'sonnet', 'opus'])
    .nullish()
    .describe("The model for this message, where it can be had; else the agent's own"),
  workspace_path: z.string().max(4096).nullish().describe('Only that of the user: files are found by `user`'),
});

const metadataShape = { user: z.string(), timestamp: z.string(), scheduled_tasks: z.array(z.unknown()) };

export const noclawReplySchema = z.object({
  status: z.literal('success'),
  response: z.string(),
  metadata: z.object({ ...metadataShape, session_id: z.string(), turn_id: z.string() }),
});

export const noclawAcceptedSchema = z.object({
  status: z.literal('accepted'),
  response: z.literal(''),
  metadata: z.object({ ...metadataShape, session_id: z.string(), turn_id: z.string() }),
});

export const noclawScheduleSchema = z.looseObject({
  user: noclawUserSchema,
  cron: z.string().min(1).max(256),
  prompt: z.string().min(1).max(100_000),
  description: z.string().max(2048).nullish(),
});
export const noclawScheduledSchema = z.object({ status: z.literal('scheduled'), task_id: z.string(), next_run: z.string() });
export const noclawTasksSchema = z.object({ user: z.string(), tasks: z.array(z.unknown()) });
export const noclawTaskDeletedSchema = z.object({ status: z.literal('deleted'), task_id: z.string() });

export const noclawHistoryQuerySchema = z.object({ limit: z.coerce.number().int().min(1).max(100).default(10) });
export const noclawHistorySchema = z.object({
  user: z.string(),
  history: z.array(
    z.object({
      id: z.string(),
      timestamp: z.string(),
      message: z.string(),
      response: z.string(),
      model_used: z.string().nullable(),
      tokens_used: z.int().nullable(),
      metadata: z.record(z.string(), z.unknown()),
    }),
  ),
});

/** Room is left for what the platform adds. */
export const noclawContextSchema = z
  .string()
  .max(90_000)
  .describe("What the user's agent is to know and how it is to be: the text of a CLAUDE.md");
export const noclawContextUpdatedSchema = z.object({ status: z.literal('updated'), user: z.string() });

export const noclawHeartbeatQuerySchema = z.object({ interval: z.coerce.number().int().min(60).max(31_536_000).default(1800) });
export const noclawHeartbeatEnabledSchema = z.object({
  status: z.literal('enabled'),
  user: z.string(),
  interval: z.int(),
  description: z.string(),
});
export const noclawHeartbeatDisabledSchema = z.object({ status: z.literal('disabled'), user: z.string() });
export const noclawHeartbeatSchema = z.object({
  user: z.string(),
  enabled: z.boolean(),
  interval: z.int(),
  last_heartbeat: z.string().nullable(),
});

export type NoclawWebhook = z.output<typeof noclawWebhookSchema>;
