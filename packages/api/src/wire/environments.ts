import { z } from 'zod';
import { metadataPatchSchema, metadataSchema, nameSchema, pageQuerySchema, queryFlagSchema, timestampSchema } from './common.ts';
import { networkingParamSchema, networkingSchema } from './networking.ts';

const packagesParamSchema = z.strictObject({
  type: z.literal('packages').optional(),
  apt: z.array(z.string()).nullish(),
  cargo: z.array(z.string()).nullish(),
  gem: z.array(z.string()).nullish(),
  go: z.array(z.string()).nullish(),
  npm: z.array(z.string()).nullish(),
  pip: z.array(z.string()).nullish(),
});

/** Less, and no agent program starts. */
const MIN_MEMORY_BYTES = 64 * 1024 ** 2;
const MAX_MEMORY_BYTES = 1024 ** 4;
const UNIT_BYTES: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

export function toBytes(memory: string | number): number {
  return typeof memory === 'number'
    ? memory
    : Number.parseFloat(memory) * (UNIT_BYTES[/[kmg]/i.exec(memory)?.[0].toLowerCase() ?? ''] ?? 1);
}

export const memorySchema = z
  .union([z.int(), z.string().regex(/^\d+(\.\d+)?\s*[kmg]i?b?$/i, 'such as `512m` or `1g`')])
  .refine((memory) => toBytes(memory) >= MIN_MEMORY_BYTES && toBytes(memory) <= MAX_MEMORY_BYTES, 'from `64m` to `1024g`');

export const diskSchema = z
  .union([z.int(), z.string().regex(/^\d+(\.\d+)?\s*[kmg]i?b?$/i, 'such as `512m` or `2g`')])
  .refine((disk) => toBytes(disk) >= MIN_MEMORY_BYTES && toBytes(disk) <= MAX_MEMORY_BYTES, 'from `64m` to `1024g`');

const secondsSchema = z.int().min(0).max(31_536_000).nullish();
const sleepParamSchema = z
  .strictObject({
    pause_after_seconds: secondsSchema.describe('Frozen: it uses no CPU, and keeps its memory'),
    hibernate_after_seconds: secondsSchema.describe('Frozen, and its memory given back where the host can'),
    stop_after_seconds: secondsSchema.describe('Removed; the next message makes a new one'),
  })
  .describe("How long after its last turn a sandbox sleeps; 0 is never, and what is left out is the server's own setting");

const mountParamSchema = z.strictObject({
  source: z
    .string()
    .min(1)
    .max(4096)
    .describe("A folder or file that the operator allows; `memory`, the agent's own folder; or `shared`, the tenant's"),
  target: z.string().min(1).max(200).describe('Below /mnt'),
  read_only: z.boolean().nullish().describe('Default true; `shared` always is'),
});

export const environmentConfigParamSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('cloud'), networking: networkingParamSchema.nullish(), packages: packagesParamSchema.nullish() }),
  z.strictObject({
    type: z.literal('container'),
    image: z.string().min(1).max(512).nullish().describe('An image made by `npm run image`, or one made from it'),
    memory: memorySchema.nullish().describe('Bytes, or such as `512m`; default 1g'),
    disk: diskSchema.nullish().describe("What the session's files may take, in bytes or such as `2g`; default the operator's"),
    workspace: z
      .enum(['session', 'agent'])
      .nullish()
      .describe('`agent`: all sessions of an agent have one workspace; each has a home of its own. Default `session`'),
    snapshots: z
      .enum(['none', 'turn'])
      .nullish()
      .describe('`turn`: the workspace is kept at the end of each turn, for forks at an event. Default `none`'),
    sandbox: z
      .enum(['session', 'turn'])
      .nullish()
      .describe('`turn`: each turn has a new sandbox, which is removed at its end. Default `session`: it is kept for the next one'),
    cpus: z.number().min(0.05).max(256).nullish().describe('Default 1'),
    pids: z.int().min(16).max(65_536).nullish().describe('Processes and threads; default 256'),
    env: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable name'), z.string().max(32_768))
      .nullish()
      .describe('Readable inside the sandbox: never put a secret here'),
    networking: networkingParamSchema.nullish(),
    sleep: sleepParamSchema.nullish(),
    warm: z
      .int()
      .min(0)
      .max(100)
      .nullish()
      .describe('So many sandboxes stand ready for new sessions of the agent that was used here last, within the bound of the server'),
    runtime: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'such as `runsc`')
      .nullish()
      .describe("OCI runtime of the engine, such as `runsc` (gVisor), `kata` or `crun`; default the operator's"),
    mounts: z.array(mountParamSchema).max(16).nullish(),
  }),
  z.strictObject({ type: z.literal('self_hosted') }),
]);

const environmentFields = {
  name: nameSchema,
  description: z.string().max(2048).nullish(),
  config: environmentConfigParamSchema.nullish(),
  scope: z.enum(['organization', 'account']).nullish(),
};

export const environmentCreateSchema = z.strictObject({ ...environmentFields, metadata: metadataSchema.optional() });
export const environmentUpdateSchema = z.strictObject({
  ...environmentFields,
  name: nameSchema.nullish(),
  metadata: metadataPatchSchema.optional(),
});

const packageListSchema = z.array(z.string());
const packagesSchema = z.object({
  type: z.literal('packages'),
  apt: packageListSchema,
  cargo: packageListSchema,
  gem: packageListSchema,
  go: packageListSchema,
  npm: packageListSchema,
  pip: packageListSchema,
});

const sleepSchema = z.object({
  pause_after_seconds: z.int().nullable(),
  hibernate_after_seconds: z.int().nullable(),
  stop_after_seconds: z.int().nullable(),
});

export const environmentConfigSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('cloud'), networking: networkingSchema, packages: packagesSchema }),
  z.object({
    type: z.literal('container'),
    image: z.string().nullable(),
    memory: z.union([z.int(), z.string()]),
    disk: z.union([z.int(), z.string()]).nullable().default(null).describe("Null when the operator's default counts"),
    workspace: z.enum(['session', 'agent']).default('session'),
    snapshots: z.enum(['none', 'turn']).default('none'),
    sandbox: z.enum(['session', 'turn']).default('session'),
    cpus: z.number(),
    pids: z.int(),
    env: z.record(z.string(), z.string()),
    networking: networkingSchema,
    runtime: z.string().nullable().default(null),
    mounts: z.array(z.object({ source: z.string(), target: z.string(), read_only: z.boolean() })).default([]),
    warm: z.int().nullable().default(null).describe('Null when the demand alone counts'),
    sleep: sleepSchema.nullable().default(null).describe("Null when the server's own settings count"),
  }),
]);

export const environmentDefinitionSchema = z.object({
  name: z.string(),
  description: z.string().nullable(),
  config: environmentConfigSchema,
  metadata: z.record(z.string(), z.string()),
});

export const environmentSchema = environmentDefinitionSchema.extend({
  id: z.string(),
  type: z.literal('environment'),
  scope: z.literal('organization'),
  created_at: timestampSchema,
  updated_at: timestampSchema,
  archived_at: timestampSchema.nullable(),
});

export const environmentDeletedSchema = z.object({ id: z.string(), type: z.literal('environment_deleted') });

export const environmentListQuerySchema = pageQuerySchema.extend({ include_archived: queryFlagSchema.optional() });

export type EnvironmentCreate = z.infer<typeof environmentCreateSchema>;
export type EnvironmentUpdate = z.infer<typeof environmentUpdateSchema>;
export type EnvironmentConfigParam = z.infer<typeof environmentConfigParamSchema>;
export type EnvironmentConfig = z.infer<typeof environmentConfigSchema>;
export type EnvironmentDefinition = z.infer<typeof environmentDefinitionSchema>;
export type Environment = z.infer<typeof environmentSchema>;
