import { z } from 'zod';

export const HEALTH_STATUSES = ['healthy', 'degraded', 'unhealthy'] as const;
export const healthCheckSchema = z.object({ status: z.enum(HEALTH_STATUSES), detail: z.string(), fix: z.string().optional() });
export const healthSchema = z.object({
  status: z.enum(HEALTH_STATUSES),
  version: z.string(),
  checks: z.record(z.string(), healthCheckSchema),
});

/**
 * The stages of a turn's way to the first word of its agent, in their order. A turn whose sandbox was awake has only
 * the first and the last; one whose sandbox slept has `wake`; one that needed a new sandbox has those in between.
 */
export const STAGES = [
  'queue',
  'room',
  'prepare',
  'image',
  'create',
  'attach',
  'start',
  'ready',
  'handover',
  'wake',
  'first_token',
] as const;
export const stagesSchema = z.partialRecord(z.enum(STAGES), z.number());

export const readinessSchema = z.object({ status: z.enum(HEALTH_STATUSES) });

export const ISOLATION_CLASSES = ['container', 'weaker', 'none'] as const;
const isolationSchema = z
  .enum(ISOLATION_CLASSES)
  .describe("What holds the agents: a container engine's walls, bubblewrap's weaker ones, or none at all");

/** What the runtime of this server can do, and what it cannot. */
export const runtimeCapabilitiesSchema = z.object({
  runtime_classes: z
    .array(z.string())
    .describe('The OCI runtimes an environment may ask for by `config.runtime`; empty where there is no choice'),
  default_runtime_class: z.string().nullable().describe("What sandboxes get that ask for none; null leaves it to the engine's default"),
  limits: z.boolean().describe('Whether the limits on memory, CPU and processes of a sandbox are enforced'),
  egress: z
    .enum(['gateway', 'open'])
    .describe(
      '`gateway`: sandboxes have no network, and the gateway is the only way out; `open`: nothing stands between them and the network',
    ),
  workspace_quota: z
    .enum(['enforced', 'watched', 'none'])
    .describe('What holds workspaces that have a quota to it: a disk of their own, or a look now and then'),
  sleep: z.boolean().describe('Whether idle sandboxes can be paused'),
  services: z.boolean().describe('Whether always-on services can be deployed'),
  warm_pool: z.boolean().describe('Whether sandboxes can stand ready for sessions to come; `warm_pool.reason` says why not'),
});

const warmEnvironmentSchema = z.object({
  environment_id: z.string(),
  agent_id: z.string(),
  wanted: z.int().describe('To stand ready by the rule of the environment, or by demand'),
  ready: z.int().describe('Stand ready, asleep ones too'),
  warming: z.int().describe('Are being started'),
  claimed: z.int().describe('Were given to sessions since the start of this server'),
});

export const statusSchema = z.object({
  health: z.enum(HEALTH_STATUSES),
  version: z.string(),
  runtime: z.string().describe('The driver, and what is weaker about it, if anything'),
  isolation: isolationSchema,
  runtime_reason: z.string().describe('Why this runtime was chosen, and what stood against those that go before it'),
  capabilities: runtimeCapabilitiesSchema,
  stages: z
    .partialRecord(z.enum(STAGES), z.object({ count: z.int(), p50_ms: z.number() }))
    .describe('What the stages took lately on this server: the median of so many, at most the last 256 of each'),
  harness: z.string().describe('The default harness'),
  model: z.string().describe('The default model'),
  is_demo: z.boolean().describe('True when no provider key is set and the answers are a demo'),
  turns: z.object({
    queued: z.int(),
    running: z.int(),
    waiting_approval: z.int(),
    failed_24h: z.int().describe('Dead letters of the last 24 hours'),
  }),
  warm_pool: z
    .object({
      max: z.int().describe('How many may stand ready on this server at most, for all tenants together'),
      reason: z.string().nullable().describe('Why none can; null where they can'),
      environments: z.array(warmEnvironmentSchema).describe("The caller's own"),
    })
    .describe('Sandboxes that stand ready on this server for sessions to come'),
  reconciler: z
    .object({
      last_sweep_at: z
        .string()
        .nullable()
        .describe('When this server last held what is there against what should be; null before the first time'),
      resumed: z.int().describe('Sandboxes that somebody else paused in the midst of their work'),
      lost: z.int().describe('Sandboxes in use that were found to be gone'),
      removed: z
        .record(z.string(), z.object({ removed: z.int(), failures: z.int() }))
        .describe('What belonged to nobody, by kind, such as `sandboxes` and `sockets`'),
    })
    .describe('What this server has found in disorder since its start'),
});

const sandboxShape = {
  id: z.string(),
  state: z
    .enum(['starting', 'busy', 'idle', 'paused', 'hibernated', 'stopping'])
    .describe('Between turns it is idle, then paused, then hibernated: paused, with its memory given back to the host'),
  isolation: isolationSchema,
  runtime_class: z.string().nullable().describe("The OCI runtime that it asked for; null is the engine's default, and while it starts"),
};

/** The sandbox of a session, in the session. */
export const sessionSandboxSchema = z.object(sandboxShape);

export const sandboxSchema = z.object({
  type: z.literal('sandbox'),
  session_id: z.string(),
  ...sandboxShape,
  stages: stagesSchema.describe('Milliseconds each stage of its start took'),
});

/** It has been stopped; its session goes on, with a new one when it needs one. */
export const sandboxDeletedSchema = z.object({ id: z.string(), type: z.literal('sandbox_deleted') });

export type Health = z.infer<typeof healthSchema>;
export type HealthCheck = z.infer<typeof healthCheckSchema>;
export type Sandbox = z.infer<typeof sandboxSchema>;
export type SessionSandbox = z.infer<typeof sessionSandboxSchema>;
export type Status = z.infer<typeof statusSchema>;
