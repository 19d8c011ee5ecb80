import { z } from 'zod';
import { remoteUrlSchema } from './common.ts';

/** Part of its tools' names: `mcp__<server>__<tool>`. */
const serverNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9-]|_(?!_))*$/, 'letters, digits, `-` and single `_`')
  .regex(/[^_]$/, 'does not end in `_`')
  .max(64);

const environmentSchema = z
  .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'no name of a variable'), z.string().max(4096))
  .refine((value) => Object.keys(value).length <= 64, 'at most 64 variables');

const urlServerSchema = z.object({ type: z.literal('url'), name: serverNameSchema, url: remoteUrlSchema });
const stdioServerSchema = z.object({
  type: z.literal('stdio'),
  name: serverNameSchema,
  command: z.string().min(1).max(1024).describe('A program of the image or the workspace'),
  args: z.array(z.string().max(4096)).max(64),
  env: environmentSchema.describe('No secrets: whatever the agent runs can read them'),
});

export const mcpServerSchema = z.discriminatedUnion('type', [urlServerSchema, stdioServerSchema]);
export type McpServerDefinition = z.infer<typeof mcpServerSchema>;

export const mcpServerParamSchema = z.discriminatedUnion('type', [
  z.strictObject(urlServerSchema.shape),
  z.strictObject({
    ...stdioServerSchema.shape,
    args: stdioServerSchema.shape.args.optional(),
    env: stdioServerSchema.shape.env.optional(),
  }),
]);
export const mcpServersParamSchema = z.array(mcpServerParamSchema).max(20);
export type McpServerParam = z.infer<typeof mcpServerParamSchema>;
