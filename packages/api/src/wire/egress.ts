import { z } from 'zod';
import { pageQuerySchema, timestampSchema } from './common.ts';

export const EGRESS_WAYS = ['tunnel', 'plain', 'inspected'] as const;
export const EGRESS_OUTCOMES = ['allowed', 'denied', 'failed'] as const;

/** One decision about a connection that a sandbox asked for. Paths, queries and headers are never kept. */
export const egressDecisionSchema = z.object({
  id: z.string(),
  type: z.literal('egress_decision'),
  session_id: z.string(),
  sandbox_id: z.string(),
  way: z.enum(EGRESS_WAYS).describe('`tunnel`: CONNECT; `plain`: HTTP; `inspected`: a request in TLS that is looked into'),
  method: z.string(),
  host: z.string().describe('Empty when what was asked for is no address'),
  port: z.int(),
  address: z.string().nullable().describe('What was connected to'),
  outcome: z.enum(EGRESS_OUTCOMES),
  reason: z.string().describe('Such as `listed`, `not_listed`, `method`, `path`, `address`, `rate`, `byte_budget`, `unreachable`'),
  times: z.int().describe('How often in a row the same was decided'),
  bytes_up: z.int(),
  bytes_down: z.int(),
  ending: z.string().nullable().describe('Such as `done`, `idle`, `total_time`, `policy`, `byte_budget`; null while it is open'),
  created_at: timestampSchema,
  ended_at: timestampSchema.nullable(),
});

export const egressListQuerySchema = pageQuerySchema.extend({ outcome: z.enum(EGRESS_OUTCOMES).optional() });

export type EgressDecision = z.infer<typeof egressDecisionSchema>;
