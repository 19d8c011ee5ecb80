import { z } from 'zod';
import { pageQuerySchema, timestampSchema } from './common.ts';

export const APPROVAL_STATES = ['pending', 'allowed', 'denied', 'expired', 'cancelled'] as const;
export const APPROVAL_KINDS = ['tool', 'budget'] as const;
export const APPROVAL_SCOPES = ['once', 'session'] as const;

const MAX_MESSAGE = 4096;
const MAX_RAISE = 1_000_000;

/** A question to a person, decided once. Its id is that of the event that asks. */
export const approvalSchema = z.object({
  id: z.string().describe('For a tool, the id of its `agent.tool_use` or `agent.mcp_tool_use` event'),
  type: z.literal('approval'),
  kind: z.enum(APPROVAL_KINDS),
  session_id: z.string(),
  agent_id: z.string(),
  turn_id: z.string(),
  state: z.enum(APPROVAL_STATES),
  tool: z
    .object({
      name: z.string(),
      input: z.record(z.string(), z.unknown()).describe('The exact arguments; for others it is asked again'),
      input_hash: z.string().nullable().describe('SHA-256 of the arguments as canonical JSON'),
      rule: z.string().nullable().describe('What in the policy of the agent asks; an answer with scope `session` covers what it covers'),
    })
    .nullable()
    .describe('Null when it is about a budget'),
  budget: z.record(z.string(), z.unknown()).nullable().describe('What is asked about a budget; null when it is about a tool'),
  created_at: timestampSchema,
  expires_at: timestampSchema.nullable().describe('When it counts as denied'),
  answer: z
    .object({
      by: z.string().describe('`user:<id>`, `key:<id>`, or `system` when its time was over'),
      at: timestampSchema,
      scope: z.enum(APPROVAL_SCOPES),
      message: z.string().nullable(),
      raise: z.number().nullable().describe('Of a budget: by how much it was raised, in its currency'),
    })
    .nullable(),
});

export const approvalAnswerSchema = z.strictObject({
  decision: z.enum(['allow', 'deny']).describe('Of a budget, `allow` raises it and `deny` stops the turn'),
  scope: z.enum(APPROVAL_SCOPES).optional().describe('With `session`, later calls that the same rule asks about are allowed too'),
  message: z.string().max(MAX_MESSAGE).nullish().describe('Only with `deny`; the agent reads it'),
  raise: z.number().positive().max(MAX_RAISE).optional().describe('Of a budget that is allowed: by how much, in its currency'),
});

const states = z
  .union([z.enum(APPROVAL_STATES), z.array(z.enum(APPROVAL_STATES))])
  .transform((value): readonly (typeof APPROVAL_STATES)[number][] => (typeof value === 'string' ? [value] : value));

export const approvalListQuerySchema = pageQuerySchema.extend({
  'states[]': states.optional().describe('Only approvals in these states; `pending` are those that wait for an answer'),
  states: states.optional(),
  session_id: z.string().optional(),
  agent_id: z.string().optional(),
  order: z.enum(['asc', 'desc']).default('desc'),
});

export type Approval = z.infer<typeof approvalSchema>;
export type ApprovalAnswer = z.input<typeof approvalAnswerSchema>;
