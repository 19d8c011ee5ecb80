import { z } from 'zod';

export const PROVIDERS = ['claude', 'openai', 'gemini', 'deepseek', 'grok'] as const;
export const CHANNELS = ['telegram', 'discord', 'slack', 'whatsapp', 'imessage', 'signal', 'web'] as const;
const DEPLOY_MODES = ['cloud', 'local'] as const;

const fields = {
  name: z.string().trim().min(1).max(50),
  modelProvider: z.enum(PROVIDERS),
  model: z.string().min(1).max(200),
  channels: z.array(z.enum(CHANNELS)).max(CHANNELS.length),
  usesBundledApi: z.boolean(),
  deployMode: z.enum(DEPLOY_MODES),
  systemPrompt: z.string().max(10_000).nullable(),
  temperature: z.number().min(0).max(2),
  maxTokens: z.int().min(1).max(1_000_000),
};

const apiKey = z.string().max(500).nullish().describe('Kept in a vault, used by the gateway, and never told or given to a container');

export const createSchema = z.object({
  name: fields.name,
  modelProvider: fields.modelProvider.default('claude'),
  model: fields.model.default('claude-sonnet-4-20250514'),
  apiKey,
  channels: fields.channels.default([]),
  usesBundledApi: fields.usesBundledApi.default(true),
  deployMode: fields.deployMode.default('cloud'),
  systemPrompt: fields.systemPrompt.optional(),
  temperature: fields.temperature.default(0.7),
  maxTokens: fields.maxTokens.default(4096),
});

export const patchSchema = z.object({ ...z.object(fields).partial().shape, apiKey });

export const AGENT_STATUSES = ['RUNNING', 'STOPPED', 'DEPLOYING', 'ERROR'] as const;
const CONTAINER_STATUSES = ['starting', 'running', 'unhealthy', 'restarting', 'stopped', 'error'] as const;
export type ContainerStatus = (typeof CONTAINER_STATUSES)[number];

export const agentSchema = z.object({
  id: z.string(),
  // What was made over other routes keeps to other bounds.
  name: z.string(),
  model: z.string(),
  usesBundledApi: z.boolean(),
  deployMode: z.string(),
  systemPrompt: z.string().nullable(),
  temperature: z.number(),
  maxTokens: z.number(),
  modelProvider: z.string(),
  channels: z.array(z.string()),
  status: z.enum(AGENT_STATUSES),
  containerStatus: z.enum(CONTAINER_STATUSES).nullable(),
  containerPort: z.int().nullable(),
  lastHealthCheck: z.string().nullable(),
  lastHeartbeat: z.string().nullable(),
  deployedAt: z.string().nullable(),
  totalMessages: z.int(),
  totalTokens: z.int(),
  lastActiveAt: z.string().nullable(),
  createdAt: z.string(),
  updatedAt: z.string(),
  machine: z.null(),
});

export const oneSchema = z.object({ agent: agentSchema });
export const listSchema = z.object({ agents: z.array(agentSchema) });
export const patchedSchema = z.object({
  agent: agentSchema,
  configDirty: z.boolean().describe('Its container still runs with what was before'),
});
export const messageSchema = z.object({ message: z.string() });
export const deployedSchema = z.object({
  message: z.string(),
  container: z.object({ status: z.enum(CONTAINER_STATUSES), port: z.int() }),
});
export const webhookSchema = z.record(z.string(), z.unknown());
export const receivedSchema = z.object({ received: z.literal(true) });
export const statsSchema = z.object({ cpu_percent: z.number(), memory_usage_mb: z.number(), uptime_seconds: z.number() });
export const logsQuerySchema = z.object({ lines: z.coerce.number().int().min(1).max(500).default(100) });
export const logsSchema = z.object({ logs: z.string() });

const portableSchema = z.object({ ...fields, channels: fields.channels, systemPrompt: fields.systemPrompt });
export const exportSchema = z.object({ version: z.literal('1.0'), exportedAt: z.string(), agent: portableSchema });
export const importSchema = z.looseObject({ version: z.string().optional(), agent: createSchema });

export const errorSchema = z.object({
  error: z.string(),
  code: z.string(),
  fix: z.string(),
  details: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  requestId: z.string(),
});

export type AgentFields = z.output<typeof portableSchema>;
export type ClawHqAgent = z.infer<typeof agentSchema>;
