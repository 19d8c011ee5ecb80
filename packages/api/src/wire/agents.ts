import { z } from 'zod';
import {
  createdRangeShape,
  metadataPatchSchema,
  metadataSchema,
  nameSchema,
  pageQuerySchema,
  queryFlagSchema,
  timestampSchema,
} from './common.ts';
import { mcpServerSchema, mcpServersParamSchema } from './mcp.ts';
import { agentNetworkingParamSchema, agentNetworkingSchema } from './networking.ts';
import { agentSkillSchema, skillParamSchema } from './skills.ts';

export const TOOL_NAMES = ['bash', 'edit', 'read', 'write', 'glob', 'grep', 'web_fetch', 'web_search'] as const;
const EFFORTS = ['low', 'medium', 'high', 'xhigh', 'max'] as const;

const effortSchema = z.enum(EFFORTS);
const policySchema = z.strictObject({ type: z.enum(['always_allow', 'always_ask', 'auto']) });

export const modelParamSchema = z.union([
  z.string().min(1).max(256),
  z.strictObject({
    id: z.string().min(1).max(256),
    effort: z.union([effortSchema, z.strictObject({ type: effortSchema })]).nullish(),
    speed: z.enum(['standard', 'fast']).nullish(),
    inference_geo: z.string().nullish(),
  }),
]);

/** Published options of the web tools; the use case refuses them, since a bound that is ignored is worse than none. */
const webToolShape = {
  allowed_domains: z.array(z.string()).nullish(),
  blocked_domains: z.array(z.string()).nullish(),
  max_content_tokens: z.number().nullish(),
  url_sources: z.unknown().nullish(),
  user_location: z.unknown().nullish(),
};

const toolConfigParamSchema = z.strictObject({
  name: z.enum(TOOL_NAMES),
  type: z.enum(TOOL_NAMES).optional(),
  enabled: z.boolean().nullish(),
  permission_policy: policySchema.nullish(),
  ...webToolShape,
});

export const toolsetParamSchema = z.strictObject({
  type: z.literal('agent_toolset_20260401'),
  default_config: z.strictObject({ enabled: z.boolean().nullish(), permission_policy: policySchema.nullish() }).nullish(),
  configs: z.array(toolConfigParamSchema).max(256).optional(),
});

const mcpToolNameSchema = z.string().min(1).max(128);

export const mcpToolsetParamSchema = z.strictObject({
  type: z.literal('mcp_toolset'),
  mcp_server_name: z.string().min(1).max(64).describe('One of `mcp_servers`'),
  default_config: z
    .strictObject({ enabled: z.boolean().nullish(), permission_policy: policySchema.nullish() })
    .nullish()
    .describe('Left out: every tool of the server, always asked for'),
  configs: z
    .array(z.strictObject({ name: mcpToolNameSchema, enabled: z.boolean().nullish(), permission_policy: policySchema.nullish() }))
    .max(256)
    .optional(),
});

/** The published kinds of tools; which of them this installation runs is decided by the use case. */
export const toolParamSchema = z.discriminatedUnion('type', [
  toolsetParamSchema,
  mcpToolsetParamSchema,
  z.looseObject({ type: z.literal('custom') }),
]);

const MAX_PATTERN = 256;
const patternSchema = z.union([
  z.strictObject({ glob: z.string().max(MAX_PATTERN).describe('`*` any characters, `?` one, `\\` takes the next as it is') }),
  z.strictObject({
    regex: z.string().max(MAX_PATTERN).describe('All of the argument must match; without look-around and back-references'),
  }),
]);

/** Which calls of which tools run, are asked about, or are refused. */
export const permissionRuleSchema = z.strictObject({
  tool: z.string().min(1).max(128).describe('Name of the tool, `*` and `?` as in globs, such as `bash` or `mcp__github__*`'),
  policy: z.enum(['always_allow', 'ask', 'deny']),
  when: z
    .record(z.string().min(1).max(64), patternSchema)
    .refine((value) => Object.keys(value).length <= 10, 'at most 10 arguments')
    .optional()
    .describe('Patterns on arguments by their names, which all must match; one that is no text is matched as JSON'),
});

export const FOLLOW_UPS = ['queue', 'steer', 'refuse'] as const;

export const skillsParamSchema = z.array(skillParamSchema).max(20);

const agentFields = {
  model: modelParamSchema.describe('Model name, such as `claude-sonnet-4-5`, `openai/gpt-5` or `demo`'),
  name: nameSchema,
  description: z.string().max(2048).nullish(),
  system: z.string().max(100_000).nullish().describe('System prompt'),
  tools: z.array(toolParamSchema).max(256).nullish().describe('Left out: every built-in tool, always allowed'),
  harness: z.string().min(1).max(64).optional().describe('Which agent program runs it; extension'),
  follow_up: z
    .enum(FOLLOW_UPS)
    .optional()
    .describe(
      'A message that comes while the agent works waits for its turn (`queue`), is handed to it at once where it can take it (`steer`), or is refused with 409 (`refuse`); extension',
    ),
  max_concurrent_turns: z.int().min(1).max(100_000).nullish().describe('How many of its sessions may work at once; extension'),
  networking: agentNetworkingParamSchema
    .nullish()
    .describe('Narrows what the environment lets it reach; the newest version holds for every session of the agent; extension'),
  permission_rules: z
    .array(permissionRuleSchema)
    .max(100)
    .nullish()
    .describe('Go before the permission policies of the tools: one that denies first, then the first that matches; extension'),
  mcp_servers: mcpServersParamSchema
    .nullish()
    .describe('`url`: reached by the gateway, which also signs in; `stdio`: a program in the sandbox, extension'),
  skills: skillsParamSchema.nullish(),
  multiagent: z.unknown().nullish(),
  execution_identity: z
    .discriminatedUnion('type', [z.strictObject({ type: z.literal('service_account') }), z.looseObject({ type: z.literal('aws_role') })])
    .nullish(),
};

export const agentCreateSchema = z.strictObject({ ...agentFields, metadata: metadataSchema.optional() });

export const agentUpdateSchema = z.strictObject({
  ...agentFields,
  model: agentFields.model.optional(),
  name: nameSchema.optional(),
  metadata: metadataPatchSchema.nullish(),
  version: z.int().min(1).optional().describe('The newest version you know of; another one answers 409'),
});

const resolvedPolicySchema = z.object({ type: z.enum(['always_allow', 'always_ask']) });

export const toolsetSchema = z.object({
  type: z.literal('agent_toolset_20260401'),
  default_config: z.object({ enabled: z.boolean(), permission_policy: resolvedPolicySchema }),
  configs: z.array(
    z.object({
      type: z.enum(TOOL_NAMES),
      name: z.enum(TOOL_NAMES),
      enabled: z.boolean(),
      permission_policy: resolvedPolicySchema,
      url_sources: z.null().optional().describe('Of `web_fetch`'),
    }),
  ),
});

export const modelSchema = z.object({
  id: z.string(),
  effort: z.object({ type: effortSchema }).optional(),
  speed: z.enum(['standard', 'fast']).optional(),
});

export const mcpToolsetSchema = z.object({
  type: z.literal('mcp_toolset'),
  mcp_server_name: z.string(),
  default_config: z.object({ enabled: z.boolean(), permission_policy: resolvedPolicySchema }),
  configs: z.array(z.object({ name: z.string(), enabled: z.boolean(), permission_policy: resolvedPolicySchema })),
});
export type McpToolset = z.infer<typeof mcpToolsetSchema>;

/** What a version of an agent fixes. */
export const agentDefinitionSchema = z.object({
  name: z.string(),
  description: z.string().nullable(),
  model: modelSchema,
  system: z.string().nullable(),
  tools: z.array(z.discriminatedUnion('type', [toolsetSchema, mcpToolsetSchema])),
  harness: z.string(),
  // Definitions of before have none.
  follow_up: z.enum(FOLLOW_UPS).default('queue'),
  max_concurrent_turns: z.int().nullable().default(null),
  networking: agentNetworkingSchema.nullable().default(null),
  mcp_servers: z.array(mcpServerSchema).default([]),
  skills: z.array(agentSkillSchema).default([]),
  permission_rules: z.array(permissionRuleSchema).default([]),
  metadata: z.record(z.string(), z.string()),
});

const publishedEmptyShape = {
  multiagent: z.null(),
  execution_identity: z.object({ type: z.literal('service_account') }),
};

export const agentSchema = agentDefinitionSchema.extend({
  ...publishedEmptyShape,
  id: z.string(),
  type: z.literal('agent'),
  version: z.int(),
  created_at: timestampSchema,
  updated_at: timestampSchema,
  archived_at: timestampSchema.nullable(),
});

/** An agent as a session keeps it. */
export const sessionAgentSchema = agentDefinitionSchema
  .omit({ metadata: true })
  .extend({ ...publishedEmptyShape, id: z.string(), type: z.literal('agent'), version: z.int() });

export const agentListQuerySchema = pageQuerySchema.extend({
  include_archived: queryFlagSchema.optional(),
  order: z.enum(['asc', 'desc']).default('desc'),
  ...createdRangeShape,
});

export const agentGetQuerySchema = z.strictObject({ version: z.coerce.number().int().min(1).optional(), beta: z.string().optional() });

export type AgentCreate = z.infer<typeof agentCreateSchema>;
export type AgentUpdate = z.infer<typeof agentUpdateSchema>;
export type AgentDefinition = z.infer<typeof agentDefinitionSchema>;
export type Agent = z.infer<typeof agentSchema>;
export type Toolset = z.infer<typeof toolsetSchema>;
