import { z } from 'zod';
import { pageOf, timestampSchema } from './common.ts';

export const USAGE_GROUP_BY = ['day', 'tenant', 'agent', 'session', 'model'] as const;
export type UsageGroupBy = (typeof USAGE_GROUP_BY)[number];

const daySchema = z.iso.date().describe('A UTC day such as 2026-01-31');

const groupsSchema = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (Array.isArray(value) ? value : [value]).flatMap((text) => text.split(',')).map((text) => text.trim()))
  .pipe(z.array(z.enum(USAGE_GROUP_BY)).max(USAGE_GROUP_BY.length))
  .describe(
    'What rows are apart by, with commas between: `day`, `tenant`, `agent`, `session`, `model`; left out: `day`. `model` comes with its provider',
  );

const filterShape = {
  from: daySchema.optional().describe('The first UTC day; it counts'),
  to: daySchema.optional().describe('The last UTC day; it counts'),
  tenant_id: z
    .string()
    .optional()
    .describe('For who runs the installation, and then left out for all tenants; anybody else sees their own'),
  agent_id: z.string().optional(),
  session_id: z.string().optional(),
  provider: z.string().optional(),
  model: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe('How many to return, 1 to 1000'),
  page: z.string().optional().describe('`next_page` of the page before'),
  order: z.enum(['asc', 'desc']).optional(),
  beta: z.string().optional().describe('Sent by official SDKs; ignored'),
};

export const usageQuerySchema = z.strictObject({
  ...filterShape,
  group_by: groupsSchema.optional(),
  format: z.enum(['json', 'csv']).optional().describe('`csv` answers all rows as one file; so does `Accept: text/csv`'),
});

export const modelCallListQuerySchema = z.strictObject(filterShape);

const countShape = {
  input_tokens: z.int().describe('Without those that a cache served'),
  output_tokens: z.int(),
  cache_read_input_tokens: z.int(),
  cache_creation_input_tokens: z.int(),
  cost_micros: z.int().describe('Millionths of the currency: exact'),
  cost: z.string().describe('The same as a decimal number, such as `0.012345`'),
};

export const usageTotalSchema = z.object({
  calls: z.int(),
  estimated_calls: z.int().describe('Calls of which the price or the counts were estimated'),
  ...countShape,
});

/** Of a column that rows are not apart by, the value is null. */
export const usageSumSchema = usageTotalSchema.extend({
  type: z.literal('usage'),
  day: daySchema.nullable(),
  tenant_id: z.string().nullable(),
  agent_id: z.string().nullable(),
  session_id: z.string().nullable(),
  provider: z.string().nullable(),
  model: z.string().nullable(),
});

export const usageReportSchema = pageOf(usageSumSchema).extend({
  currency: z.string().describe('ISO 4217'),
  total: usageTotalSchema.describe('Over all rows, also those of other pages'),
});

export const MODEL_CALL_OUTCOMES = ['succeeded', 'failed', 'aborted', 'lost'] as const;

export const modelCallSchema = z.object({
  id: z.string(),
  type: z.literal('model_call'),
  tenant_id: z.string(),
  agent_id: z.string(),
  session_id: z.string(),
  turn_id: z.string().nullable(),
  provider: z.string(),
  model: z.string(),
  ...countShape,
  currency: z.string(),
  price_version: z.string().describe('The row of the price table and since when it holds; `fallback` for a model that is in none'),
  estimated: z.boolean(),
  outcome: z.enum(MODEL_CALL_OUTCOMES).describe('`lost`: its server died meanwhile, and it is charged at what was reserved for it'),
  started_at: timestampSchema,
  duration_ms: z.int(),
});

export type UsageReport = z.infer<typeof usageReportSchema>;
export type UsageSummary = z.infer<typeof usageSumSchema>;
export type UsageTotal = z.infer<typeof usageTotalSchema>;
export type ModelCall = z.infer<typeof modelCallSchema>;
