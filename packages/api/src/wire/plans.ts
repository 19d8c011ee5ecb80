import { z } from 'zod';
import { nameSchema, pageQuerySchema, timestampSchema } from './common.ts';

const count = (what: string) => z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullish().describe(`${what}; left out or null: no limit`);

const limitsSchema = z.strictObject({
  agents: count('Agents that are not archived'),
  sessions: count('Sessions that are not archived'),
  concurrent_sandboxes: z
    .int()
    .min(1)
    .max(100_000)
    .nullish()
    .describe('Turns at work at once, each in its sandbox; others wait. Left out or null: no limit'),
  messages_per_day: count('Messages that are accepted in a UTC day'),
  messages_per_month: count('Messages that are accepted in a UTC month'),
  tokens_per_month: count('Tokens of all kinds in a UTC month; the message that comes when they are used up is refused'),
  storage_bytes: count('Bytes of workspaces and snapshots as they were last measured, uploads, skills and memory'),
});

export const planCreateSchema = z.strictObject({ name: nameSchema, limits: limitsSchema });
export const planUpdateSchema = z.strictObject({
  name: nameSchema.optional(),
  limits: limitsSchema.optional().describe('Replaces all limits'),
});
export const planListQuerySchema = pageQuerySchema;

const limitNames = [
  'agents',
  'sessions',
  'concurrent_sandboxes',
  'messages_per_day',
  'messages_per_month',
  'tokens_per_month',
  'storage_bytes',
] as const;

export const planSchema = z.object({
  id: z.string(),
  type: z.literal('plan'),
  name: z.string(),
  limits: z.record(z.enum(limitNames), z.int().nullable()).describe('Null for no limit'),
  created_at: timestampSchema,
  updated_at: timestampSchema,
});

export const planDeletedSchema = z.object({ id: z.string(), type: z.literal('plan_deleted') });

export const tenantPlanUpdateSchema = z.strictObject({
  plan_id: z.string().nullable().describe('Null takes the plan away: nothing is limited'),
});

export const tenantPlanSchema = z.object({
  type: z.literal('tenant_plan'),
  tenant_id: z.string(),
  plan: planSchema.nullable().describe('Null: nothing is limited'),
  used: z.record(z.enum(limitNames), z.int()).describe('Messages are counted while a plan limits them'),
  stored: z
    .object({
      workspaces: z.int().describe('Files of sessions'),
      snapshots: z.int().describe('Snapshots, and the copies of workspaces that are kept of turns'),
      contents: z.int().describe('Uploaded files and skills'),
      memory: z.int().describe('Memory stores, with their history'),
    })
    .describe('The bytes of `storage_bytes` by kind. Workspaces and snapshots are measured while a plan limits storage'),
});

export type Plan = z.infer<typeof planSchema>;
export type PlanCreate = z.infer<typeof planCreateSchema>;
export type PlanUpdate = z.infer<typeof planUpdateSchema>;
export type TenantPlan = z.infer<typeof tenantPlanSchema>;
