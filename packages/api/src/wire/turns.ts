import { z } from 'zod';
import { pageQuerySchema, timestampSchema } from './common.ts';
import { stagesSchema } from './health.ts';

export const TURN_OUTCOMES = ['completed', 'failed', 'cancelled', 'interrupted'] as const;
export const TURN_STATES = ['queued', 'running', 'waiting_approval', ...TURN_OUTCOMES] as const;
export const TURN_PRIORITIES = ['message', 'scheduled'] as const;

export const turnErrorSchema = z.object({ code: z.string(), message: z.string(), fix: z.string() });

/** One message's way from the queue to its outcome. */
export const turnSchema = z.object({
  id: z.string(),
  session_id: z.string(),
  event_id: z.string().describe('The `user.message` that asked for it'),
  agent_id: z.string(),
  state: z.enum(TURN_STATES),
  outcome: z.enum(TURN_OUTCOMES).nullable().describe('Null while the turn has not ended'),
  priority: z.enum(TURN_PRIORITIES),
  attempt: z.int().describe('How often it was handed to a worker'),
  retries: z.int().describe('How often it failed before it did anything, and was put back'),
  retry_at: timestampSchema.nullable().describe('When it is tried again; null when it does not wait for that'),
  stop_reason: z.string().nullable(),
  error: turnErrorSchema.nullable(),
  stages: stagesSchema
    .nullable()
    .describe('Milliseconds of each stage it had to wait for: in the queue, for its sandbox, for the first word. Null until it has ended'),
  created_at: timestampSchema,
  started_at: timestampSchema.nullable(),
  ended_at: timestampSchema.nullable(),
});

const stateList = z
  .union([z.enum(TURN_STATES), z.array(z.enum(TURN_STATES))])
  .transform((value) => (typeof value === 'string' ? [value] : value));

const sessionTurnListShape = {
  'states[]': stateList.optional().describe('Only turns in these states; `failed` are the dead letters'),
  states: stateList.optional(),
  order: z.enum(['asc', 'desc']).default('desc'),
};

export const sessionTurnListQuerySchema = pageQuerySchema.extend(sessionTurnListShape);
export const turnListQuerySchema = pageQuerySchema.extend({ ...sessionTurnListShape, session_id: z.string().optional() });

export type Turn = z.infer<typeof turnSchema>;
export type TurnState = Turn['state'];
