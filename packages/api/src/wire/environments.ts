import { z } from 'zod';
import { metadataPatchSchema, metadataSchema, nameSchema, pageQuerySchema, queryFlagSchema, timestampSchema } from './common.ts';

const hostSchema = z
  .string()
  .max(253)
  .regex(
    /^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:\d{1,5})?$/i,
    'a host name, `*.example.org` or `host:port`',
  );

const networkingParamSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('none') }),
  z.strictObject({
    type: z.literal('limited'),
    allowed_hosts: z.array(hostSchema).max(256).nullish(),
    allow_mcp_servers: z.boolean().nullish(),
    allow_package_managers: z.boolean().nullish(),
  }),
  z.strictObject({ type: z.literal('unrestricted') }),
]);

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

function toBytes(memory: string | number): number {
  return typeof memory === 'number'
    ? memory
    : Number.parseFloat(memory) * (UNIT_BYTES[/[kmg]/i.exec(memory)?.[0].toLowerCase() ?? ''] ?? 1);
}

const memorySchema = z
  .union([z.int(), z.string().regex(/^\d+(\.\d+)?\s*[kmg]i?b?$/i, 'such as `512m` or `1g`')])
  .refine((memory) => toBytes(memory) >= MIN_MEMORY_BYTES && toBytes(memory) <= MAX_MEMORY_BYTES, 'from `64m` to `1024g`');

export const environmentConfigParamSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('cloud'), networking: networkingParamSchema.nullish(), packages: packagesParamSchema.nullish() }),
  z.strictObject({
    type: z.literal('container'),
    image: z.string().min(1).max(512).nullish().describe('An image made by `npm run image`, or one made from it'),
    memory: memorySchema.nullish().describe('Bytes, or such as `512m`; default 1g'),
    cpus: z.number().min(0.05).max(256).nullish().describe('Default 1'),
    pids: z.int().min(16).max(65_536).nullish().describe('Processes and threads; default 256'),
    env: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable name'), z.string().max(32_768))
      .nullish()
      .describe('Readable inside the sandbox: never put a secret here'),
    networking: networkingParamSchema.nullish(),
    runtime: z.string().nullish(),
    mounts: z.array(z.unknown()).nullish(),
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

const networkingSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('none') }),
  z.object({
    type: z.literal('limited'),
    allowed_hosts: z.array(z.string()),
    allow_mcp_servers: z.boolean(),
    allow_package_managers: z.boolean(),
  }),
  z.object({ type: z.literal('unrestricted') }),
]);

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

export const environmentConfigSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('cloud'), networking: networkingSchema, packages: packagesSchema }),
  z.object({
    type: z.literal('container'),
    image: z.string().nullable(),
    memory: z.union([z.int(), z.string()]),
    cpus: z.number(),
    pids: z.int(),
    env: z.record(z.string(), z.string()),
    networking: networkingSchema,
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
