import { z } from 'zod';
import { createdRangeShape, pageQuerySchema, timestampSchema } from './common.ts';

/** One act, in the chain of its tenant. */
export const auditEntrySchema = z.object({
  id: z.string(),
  type: z.literal('audit_entry'),
  seq: z.int().describe('1, 2, 3 … within the tenant'),
  at: timestampSchema,
  actor: z.string().describe('`user:<id>`, `key:<id>`, or `system`'),
  action: z.string().describe('Such as `session.created` or `approval.answered`; docs/audit.md lists them'),
  subject: z.string(),
  detail: z.record(z.string(), z.unknown()).nullable(),
  previous: z.string().describe('The MAC of the entry before; empty for the first'),
  key_id: z.string(),
  mac: z.string().describe('HMAC-SHA-256 over the entry, its place and the MAC before it'),
});

/** Where the chain ends. Kept elsewhere, it shows later that nothing was cut off. */
export const auditHeadSchema = z.object({
  type: z.literal('audit_head'),
  tenant_id: z.string(),
  seq: z.int(),
  mac: z.string(),
  key_id: z.string(),
});

export const auditVerdictSchema = z.object({
  type: z.literal('audit_verdict'),
  tenant_id: z.string(),
  intact: z.boolean(),
  entries: z.int().describe('How many were looked at'),
  last_seq: z.int(),
  sealed_through: z.int().describe('Up to where a checkpoint stands for what is kept no longer; 0 for none'),
  findings: z.array(
    z.object({
      kind: z.enum(['edited', 'deleted', 'reordered', 'inserted', 'truncated', 'rewritten', 'head', 'checkpoint', 'key']),
      from_seq: z.int(),
      to_seq: z.int(),
      message: z.string(),
    }),
  ),
});

const actions = z
  .union([z.string().max(64), z.array(z.string().max(64)).max(100)])
  .transform((value): readonly string[] => (typeof value === 'string' ? [value] : value));

const filters = {
  actor: z.string().max(256).optional(),
  subject: z.string().max(1024).optional(),
  'actions[]': actions.optional(),
  actions: actions.optional(),
  ...createdRangeShape,
};

export const auditListQuerySchema = pageQuerySchema.extend({ ...filters, order: z.enum(['asc', 'desc']).default('desc') });
export const auditExportQuerySchema = z.strictObject({ ...filters, beta: z.string().optional() });
export const auditVerifyQuerySchema = z.strictObject({
  head_seq: z.coerce.number().int().min(0).optional().describe('With `head_mac`: a head that was kept from before'),
  head_mac: z.string().max(128).optional(),
  beta: z.string().optional(),
});

export type AuditEntry = z.infer<typeof auditEntrySchema>;
export type AuditHead = z.infer<typeof auditHeadSchema>;
export type AuditVerdict = z.infer<typeof auditVerdictSchema>;
