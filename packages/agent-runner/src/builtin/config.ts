import { z } from 'zod';

const toolSchema = z.object({ enabled: z.boolean(), policy: z.enum(['allow', 'ask']) });

/**
 * What the host says of a session, in `_meta.cloister` of session/new, session/load and session/resume.
 * It is not kept: each opening says it anew, so that a change of the agent's definition takes effect.
 */
const sessionConfigSchema = z.object({
  provider: z.enum(['anthropic', 'openai', 'openai-compatible', 'google', 'deepseek', 'xai', 'demo']),
  /** The provider's own name of the model. */
  model: z.string().min(1),
  /** The agent's instructions; the facts about the sandbox are added to them. */
  system: z.string().nullish(),
  /** By the tool's name; a tool that is not named is off, names that are unknown here are ignored. */
  tools: z.record(z.string(), toolSchema),
  /** The tools of MCP servers, by the server's name and the tool's; of a server that is not named, each is asked for. */
  mcp: z.record(z.string(), z.object({ fallback: toolSchema, tools: z.record(z.string(), toolSchema) })).default({}),
  /** What the agent is told of its skills, its memory and its files. */
  briefing: z.string().nullish(),
  /** Model calls in one turn. */
  maxSteps: z.number().int().positive().default(100),
  maxOutputTokens: z.number().int().positive().optional(),
  /** How hard the model thinks; a value that is unknown here means the provider's default. */
  effort: z.string().optional(),
});

export type SessionConfig = z.infer<typeof sessionConfigSchema>;
export type ToolSettings = SessionConfig['tools'];

const metaSchema = z.object({ cloister: sessionConfigSchema });

/** Throws `ZodError` when the host's `_meta` has no usable configuration. */
export function parseSessionConfig(meta: unknown): SessionConfig {
  return metaSchema.parse(meta).cloister;
}
