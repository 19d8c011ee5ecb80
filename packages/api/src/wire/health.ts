import { z } from 'zod';

export const HEALTH_STATUSES = ['healthy', 'degraded', 'unhealthy'] as const;
export const healthCheckSchema = z.object({ status: z.enum(HEALTH_STATUSES), detail: z.string(), fix: z.string().optional() });
export const healthSchema = z.object({
  status: z.enum(HEALTH_STATUSES),
  version: z.string(),
  checks: z.record(z.string(), healthCheckSchema),
});

export const STAGES = ['queue', 'room', 'prepare', 'image', 'create', 'attach', 'start', 'ready', 'wake', 'first_token'] as const;
export const stagesSchema = z.partialRecord(z.enum(STAGES), z.number());

export const readinessSchema = z.object({ status: z.enum(HEALTH_STATUSES) });

export const statusSchema = z.object({
  health: z.enum(HEALTH_STATUSES),
  version: z.string(),
  runtime: z.string().describe('The driver, and what is weaker about it, if anything'),
  isolation: z
    .enum(['container', 'weaker', 'none'])
    .describe("What holds the agents: a container engine's walls, bubblewrap's weaker ones, or none at all"),
  runtime_reason: z.string().describe('Why this runtime was chosen, and what stood against those that go before it'),
  harness: z.string().describe('The default harness'),
  model: z.string().describe('The default model'),
  is_demo: z.boolean().describe('True when no provider key is set and the answers are a demo'),
  turns: z.object({
    queued: z.int(),
    running: z.int(),
    waiting_approval: z.int(),
    failed_24h: z.int().describe('Dead letters of the last 24 hours'),
  }),
});

export const sandboxSchema = z.object({
  id: z.string(),
  type: z.literal('sandbox'),
  session_id: z.string(),
  state: z
    .enum(['starting', 'busy', 'idle', 'paused', 'hibernated', 'stopping'])
    .describe('Between turns it is idle, then paused, then hibernated: paused, with its memory given back to the host'),
  stages: stagesSchema.describe('Milliseconds each stage of its start took'),
});

export type Health = z.infer<typeof healthSchema>;
export type HealthCheck = z.infer<typeof healthCheckSchema>;
export type Status = z.infer<typeof statusSchema>;
