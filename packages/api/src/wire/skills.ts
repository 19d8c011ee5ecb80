import { z } from 'zod';
import { pageQuerySchema, timestampSchema } from './common.ts';

export const skillSchema = z.object({
  id: z.string(),
  type: z.literal('skill'),
  display_name: z.string(),
  latest_version_id: z.string(),
  source: z.object({ type: z.literal('custom') }),
  created_at: timestampSchema,
  updated_at: timestampSchema,
});
export type Skill = z.infer<typeof skillSchema>;

export const skillVersionSchema = z.object({
  id: z.string(),
  type: z.literal('skill_version'),
  skill_id: z.string(),
  name: z.string().describe("Of the SKILL.md's frontmatter"),
  description: z.string(),
  created_at: timestampSchema,
});
export type SkillVersion = z.infer<typeof skillVersionSchema>;

export const skillDeletedSchema = z.object({ id: z.string(), type: z.literal('skill_deleted') });
export const skillVersionDeletedSchema = z.object({ id: z.string(), type: z.literal('skill_version_deleted') });

export const skillListQuerySchema = pageQuerySchema.extend({
  source: z.enum(['custom', 'anthropic', 'anthropic_example', 'plugin']).optional().describe('All skills here are `custom`'),
});

export const skillParamSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('custom'),
    skill_id: z.string().min(1).max(256),
    version: z.string().min(1).max(256).nullish().describe('Left out or `latest`: the one that is the latest when a session is made'),
  }),
  z.looseObject({ type: z.literal('anthropic') }),
]);

export const agentSkillSchema = z.object({ type: z.literal('custom'), skill_id: z.string(), version: z.string() });
export type AgentSkill = z.infer<typeof agentSkillSchema>;
