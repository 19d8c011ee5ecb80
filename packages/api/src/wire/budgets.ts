import { z } from 'zod';
import { pageQuerySchema, timestampSchema } from './common.ts';

export const BUDGET_SCOPE_NAMES = ['tenant', 'agent', 'session', 'schedule'] as const;
export const BUDGET_PERIOD_NAMES = ['total', 'day', 'month'] as const;

const MOST = 1_000_000_000;
const amountSchema = z
  .number()
  .min(0)
  .max(MOST)
  .refine((value) => Math.abs(Math.round(value * 1_000_000) - value * 1_000_000) < 1e-3, 'at most six decimals')
  .describe("In the installation's currency, to six decimals");

const scopeSchema = z.enum(BUDGET_SCOPE_NAMES);

export const budgetCreateSchema = z.strictObject({
  scope: scopeSchema,
  subject_id: z.string().optional().describe('The agent or session; left out for the tenant itself'),
  period: z.enum(BUDGET_PERIOD_NAMES).default('total').describe('`day` and `month` begin anew in UTC'),
  limit: amountSchema,
});

export const budgetUpdateSchema = z.strictObject({ limit: amountSchema });

export const budgetRaiseSchema = z.strictObject({
  amount: amountSchema.describe('What the limit is raised by: for the current period, or for good where there is none'),
});

export const budgetListQuerySchema = pageQuerySchema.extend({
  scope: scopeSchema.optional(),
  subject_id: z.string().optional(),
});

const moneySchema = z.number().describe("In the installation's currency");

export const budgetSchema = z.object({
  id: z.string(),
  type: z.literal('budget'),
  scope: scopeSchema,
  subject_id: z.string(),
  period: z.enum(BUDGET_PERIOD_NAMES),
  currency: z.string(),
  limit: moneySchema,
  raised: moneySchema.describe('What raises have added to it'),
  spent: moneySchema.describe('In this period; it may pass the limit by as much as one call was underestimated'),
  reserved: moneySchema.describe('For calls under way'),
  remaining: moneySchema.describe('What calls can still be reserved from'),
  period_start: timestampSchema.nullable(),
  renews_at: timestampSchema.nullable(),
  created_at: timestampSchema,
  updated_at: timestampSchema,
});

export const budgetDeletedSchema = z.object({ id: z.string(), type: z.literal('budget_deleted') });

export type Budget = z.infer<typeof budgetSchema>;
export type BudgetCreate = z.output<typeof budgetCreateSchema>;
export type BudgetCreateInput = z.input<typeof budgetCreateSchema>;
export type BudgetUpdate = z.infer<typeof budgetUpdateSchema>;
