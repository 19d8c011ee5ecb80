import { z } from 'zod';
import { metadataSchema, nameSchema, pageQuerySchema, queryFlagSchema, timestampSchema } from './common.ts';
import { memorySchema } from './environments.ts';
import { hostSchema } from './networking.ts';

/** What its owner wants of a service. */
export const SERVICE_DESIRED = ['running', 'stopped', 'deleted'] as const;
/** What has become of it. `failed` stays until somebody starts it again; everything else moves by itself. */
export const SERVICE_STATES = ['pending', 'starting', 'running', 'backoff', 'stopping', 'stopped', 'failed', 'deleting'] as const;
export const SERVICE_HEALTH = ['unknown', 'healthy', 'unhealthy'] as const;

const portSchema = z.int().min(1).max(65_535);

const healthParamSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('http'),
    path: z
      .string()
      .max(512)
      .regex(/^\/[\x21-\x7e]*$/, 'a path, such as `/health`')
      .optional()
      .describe('Answered with 200 to 399 when all is well; default `/health`'),
  }),
  z.strictObject({ type: z.literal('process') }),
]);

const networkingSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('none') }),
  z.strictObject({ type: z.literal('limited'), allowed_hosts: z.array(hostSchema).min(1).max(256) }),
  z.strictObject({ type: z.literal('unrestricted') }),
]);

export const serviceCreateSchema = z.strictObject({
  name: nameSchema,
  image: z
    .string()
    .max(512)
    .regex(/^[\w][\w./:@-]*$/, 'the name of an image')
    .describe('Any image that the container engine has'),
  command: z
    .array(
      z
        .string()
        .max(32_768)
        .refine((text) => !text.includes('\0'), 'no NUL'),
    )
    .min(1)
    .max(256)
    .nullish()
    .describe("Program and arguments; left out, the image's own"),
  env: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable name'), z.string().max(32_768))
    .refine((env) => Object.keys(env).length <= 256, 'at most 256 variables')
    .nullish()
    .describe('Answers show the names only'),
  port: portSchema.nullish().describe('The port that the program listens on; default 8080'),
  health: healthParamSchema.nullish().describe('Default: `http` at `/health`'),
  memory: memorySchema.nullish().describe('Bytes, or such as `512m`; default 512m'),
  cpus: z.number().min(0.05).max(256).nullish().describe('Default 0.5'),
  pids: z.int().min(16).max(65_536).nullish().describe('Processes and threads; default 256'),
  uid: z.int().min(1).max(65_535).nullish().describe('User and group inside; never root; default 1000'),
  networking: networkingSchema
    .nullish()
    .describe(
      '`none` (default): its port is published and nothing else goes out. `limited`: these hosts, by the gateway at `/run/cloister/gateway.sock`',
    ),
  metadata: metadataSchema.optional(),
});

export const serviceSchema = z.object({
  id: z.string(),
  type: z.literal('service'),
  name: z.string(),
  image: z.string(),
  command: z.array(z.string()).nullable(),
  env_names: z.array(z.string()),
  port: z.int().describe('Inside the container'),
  health_check: z.object({ type: z.enum(['http', 'process']), path: z.string().nullable() }),
  memory_bytes: z.int(),
  cpus: z.number(),
  pids: z.int(),
  uid: z.int(),
  networking: z.object({ type: z.enum(['none', 'limited', 'unrestricted']), allowed_hosts: z.array(z.string()).optional() }),
  metadata: z.record(z.string(), z.string()),
  desired_state: z.enum(SERVICE_DESIRED),
  state: z.enum(SERVICE_STATES),
  reason: z.string().nullable().describe('Why it is where it is: how it ended last, or why it failed'),
  health: z.enum(SERVICE_HEALTH),
  url: z.string().nullable().describe('Where its port is published'),
  restarts: z.int().describe('Restarts within the window that is counted'),
  next_start_at: timestampSchema.nullable(),
  started_at: timestampSchema.nullable(),
  checked_at: timestampSchema.nullable().describe('The last health check'),
  reported: z
    .object({ status: z.string().nullable(), progress: z.number().nullable(), message: z.string().nullable(), at: timestampSchema })
    .nullable()
    .describe('What its program told last by its callback'),
  created_at: timestampSchema,
  updated_at: timestampSchema,
});

export const serviceListQuerySchema = pageQuerySchema;

export const serviceEventSchema = z.object({
  type: z.literal('service_event'),
  service_id: z.string(),
  seq: z.int(),
  event: z.string().describe('Such as `created`, `started`, `exited`, `healthy`, `failed`'),
  detail: z.string().nullable(),
  created_at: timestampSchema,
});

export const serviceEventListQuerySchema = pageQuerySchema.extend({ order: z.enum(['asc', 'desc']).default('desc') });

export const serviceLogsQuerySchema = z.strictObject({
  tail: z.coerce.number().int().min(0).max(10_000).default(100).describe('How many of the last lines'),
  follow: queryFlagSchema.optional().describe('Go on with new lines as they come'),
});

export const serviceCallbackSchema = z.strictObject({
  status: z.string().max(200).nullish(),
  progress: z.number().min(0).max(1).nullish(),
  message: z.string().max(4096).nullish(),
});

export const serviceCallbackAnswerSchema = z.object({ received: z.literal(true) });

/** One line of output, as a stream's `data:`. */
export interface ServiceLogLine {
  readonly stream: 'stdout' | 'stderr';
  readonly at: string;
  readonly text: string;
}

/** What the container uses now, as a stream's `data:`. */
export interface ServiceStats {
  readonly at: string;
  readonly cpu_percent: number;
  readonly memory_bytes: number;
  readonly memory_limit_bytes: number;
  readonly pids: number;
  readonly received_bytes: number;
  readonly sent_bytes: number;
}

export type ServiceCreate = z.output<typeof serviceCreateSchema>;
export type Service = z.infer<typeof serviceSchema>;
export type ServiceEvent = z.infer<typeof serviceEventSchema>;
export type ServiceCallback = z.output<typeof serviceCallbackSchema>;
