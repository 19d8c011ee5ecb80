import { z } from 'zod';
import { modelParamSchema, sessionAgentSchema, skillsParamSchema, toolParamSchema } from './agents.ts';
import {
  createdRangeShape,
  emptyListSchema,
  metadataPatchSchema,
  metadataSchema,
  noneSchema,
  pageQuerySchema,
  queryFlagSchema,
  timestampSchema,
} from './common.ts';
import { initialEventParamSchema } from './events.ts';
import { sessionSandboxSchema } from './health.ts';
import { mcpServersParamSchema } from './mcp.ts';
import { resourceParamSchema, resourceSchema } from './stored-files.ts';

const agentParamSchema = z.union([
  z.string().min(1),
  z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('agent'), id: z.string().min(1), version: z.int().min(1).optional() }),
    z.strictObject({
      type: z.literal('agent_with_overrides'),
      id: z.string().min(1),
      version: z.int().min(1).optional(),
      model: modelParamSchema.optional(),
      system: z.string().max(100_000).nullish(),
      tools: z.array(toolParamSchema).max(256).optional(),
      mcp_servers: mcpServersParamSchema.nullish(),
      skills: skillsParamSchema.nullish(),
    }),
  ]),
]);

const vaultIdsSchema = z
  .array(z.string().min(1).max(128))
  .max(20)
  .describe('Vaults whose credentials the session may use; the first that has one wins');

export const sessionCreateSchema = z.strictObject({
  agent: agentParamSchema.describe('Agent id (its newest version), or an object that names a version or overrides fields'),
  environment_id: z.string().min(1),
  title: z.string().max(512).nullish(),
  metadata: metadataSchema.optional(),
  initial_events: z.array(initialEventParamSchema).max(100).optional(),
  resources: z.array(resourceParamSchema).max(100).nullish().describe('Files and memory stores that its sandbox is given'),
  vault_ids: vaultIdsSchema.nullish(),
  budget: z.unknown().nullish(),
});

export const sessionUpdateSchema = z.strictObject({
  title: z.string().max(512).nullish(),
  metadata: metadataPatchSchema.nullish(),
  agent: z
    .strictObject({ tools: z.array(toolParamSchema).max(256).optional(), mcp_servers: mcpServersParamSchema.nullish() })
    .optional()
    .describe('Only while the session is idle'),
  vault_ids: emptyListSchema,
  budget: z.unknown().nullish(),
});

export const SESSION_STATUSES = ['idle', 'running', 'rescheduling', 'terminated'] as const;

export const sessionSchema = z.object({
  id: z.string(),
  type: z.literal('session'),
  agent: sessionAgentSchema,
  environment_id: z.string(),
  title: z.string().nullable(),
  metadata: z.record(z.string(), z.string()),
  status: z.enum(SESSION_STATUSES),
  usage: z.object({
    input_tokens: z.int(),
    output_tokens: z.int(),
    cache_read_input_tokens: z.int(),
    cache_creation: z.object({ ephemeral_5m_input_tokens: z.int(), ephemeral_1h_input_tokens: z.int() }),
  }),
  stats: z.object({ active_seconds: z.number(), duration_seconds: z.number() }),
  outcome_evaluations: noneSchema,
  resources: z.array(resourceSchema),
  vault_ids: z.array(z.string()),
  budget: z.null(),
  deployment_id: z.null(),
  sandbox: sessionSandboxSchema
    .nullable()
    .describe('Its live sandbox, where the server that answers has it; null while it has none there; extension'),
  last_seq: z.int().describe('Seq of the newest event; extension'),
  created_at: timestampSchema,
  updated_at: timestampSchema,
  archived_at: timestampSchema.nullable(),
});

export const sessionDeletedSchema = z.object({ id: z.string(), type: z.literal('session_deleted') });

const statusList = z
  .union([z.enum(SESSION_STATUSES), z.array(z.enum(SESSION_STATUSES))])
  .transform((value) => (typeof value === 'string' ? [value] : value));

export const sessionListQuerySchema = pageQuerySchema.extend({
  order: z.enum(['asc', 'desc']).default('desc'),
  include_archived: queryFlagSchema.optional(),
  agent_id: z.string().optional(),
  agent_version: z.coerce.number().int().min(1).optional(),
  deployment_id: z.string().optional().describe('Published; not supported here'),
  memory_store_id: z.string().optional().describe('Published; not supported here'),
  'statuses[]': statusList.optional(),
  statuses: statusList.optional(),
  ...createdRangeShape,
});

export type SessionCreate = z.output<typeof sessionCreateSchema>;
export type SessionCreateInput = z.input<typeof sessionCreateSchema>;
export type SessionUpdate = z.output<typeof sessionUpdateSchema>;
export type Session = z.infer<typeof sessionSchema>;
