import { z } from 'zod';
import { metadataPatchSchema, metadataSchema, pageQuerySchema, timestampSchema } from './common.ts';

/** What an endpoint can be told of. The published types first, those of our own with their prefix. */
export const WEBHOOK_EVENT_TYPES = [
  'session.created',
  'session.updated',
  'session.status_run_started',
  'session.status_idled',
  'session.requires_action',
  'session.status_rescheduled',
  'session.status_terminated',
  'session.archived',
  'session.deleted',
  'agent.created',
  'agent.updated',
  'agent.archived',
  'environment.created',
  'environment.updated',
  'environment.archived',
  'environment.deleted',
  'cloister.turn.ended',
  'cloister.delivery.failed',
] as const;
export type WebhookEventType = (typeof WEBHOOK_EVENT_TYPES)[number];

/** What `POST …/test` sends; nobody has to subscribe to it. */
export const WEBHOOK_TEST_TYPE = 'webhook.test';

/** Where something can be posted to. */
export const endpointUrlSchema = z
  .string()
  .max(2048)
  .refine(isWebUrl, 'an http or https URL')
  .refine((text) => !hasCredentials(text), 'no user name or password')
  .describe('Where deliveries are posted to; redirects are not followed');

function isWebUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === 'https:' || url.protocol === 'http:') && url.hostname !== '';
}

function hasCredentials(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.username !== '' || url.password !== '');
}

/** A text at first, so that a wrong entry of a list is told of as such. */
const allSchema = z
  .string()
  .refine((text) => text === '*', '`*` or a list of types')
  .transform(() => '*' as const);

const eventsSchema = z
  .union([allSchema, z.array(z.enum(WEBHOOK_EVENT_TYPES)).min(1).max(WEBHOOK_EVENT_TYPES.length)])
  .describe('`*` for everything, also what later versions add');

const descriptionSchema = z.string().max(2048).nullish();

export const webhookCreateSchema = z.strictObject({
  url: endpointUrlSchema,
  events: eventsSchema,
  description: descriptionSchema,
  metadata: metadataSchema.optional(),
});

export const webhookUpdateSchema = z.strictObject({
  url: endpointUrlSchema.optional(),
  events: eventsSchema.optional(),
  description: descriptionSchema,
  metadata: metadataPatchSchema.nullish(),
  enabled: z.boolean().optional().describe('`true` takes deliveries up again; `false` stops them'),
});

export const WEBHOOK_DISABLED_REASONS = ['request', 'gone', 'failing'] as const;

export const webhookSchema = z.object({
  id: z.string(),
  type: z.literal('webhook'),
  url: z.string(),
  events: z.union([z.literal('*'), z.array(z.string())]),
  description: z.string().nullable(),
  metadata: z.record(z.string(), z.string()),
  enabled: z.boolean(),
  disabled_reason: z
    .enum(WEBHOOK_DISABLED_REASONS)
    .nullable()
    .describe('`gone`: it answered 410; `failing`: nothing reached it for five days; `request`: you stopped it'),
  failing_since: timestampSchema.nullable().describe('The first failure since the last delivery that arrived'),
  created_at: timestampSchema,
  updated_at: timestampSchema,
});

/** Only the answers to creation and rotation carry the secret. */
export const webhookWithSecretSchema = webhookSchema.extend({
  secret: z.string().describe('`whsec_…`: keep it, it is not shown again'),
});

export const webhookDeletedSchema = z.object({ id: z.string(), type: z.literal('webhook_deleted') });

export const webhookListQuerySchema = pageQuerySchema;

/** `unknown`: it was sent and nothing came back; it is sent again under the same id. */
export const WEBHOOK_DELIVERY_STATES = ['pending', 'sent', 'failed', 'unknown'] as const;

export const webhookDeliverySchema = z.object({
  id: z.string(),
  type: z.literal('webhook_delivery'),
  webhook_id: z.string(),
  message_id: z.string().describe("The header `webhook-id` and the body's `id`; the same at every attempt"),
  event_type: z.string(),
  session_id: z.string().nullable(),
  state: z.enum(WEBHOOK_DELIVERY_STATES),
  attempts: z.int(),
  last_status: z.int().nullable().describe('HTTP status of the last attempt'),
  last_error: z.string().nullable(),
  last_attempt_at: timestampSchema.nullable(),
  next_attempt_at: timestampSchema.nullable().describe('Null when it has ended, or is being sent'),
  created_at: timestampSchema,
  ended_at: timestampSchema.nullable(),
});

export const webhookDeliveryListQuerySchema = pageQuerySchema.extend({ state: z.enum(WEBHOOK_DELIVERY_STATES).optional() });

/** What an endpoint gets: the published shape, so that official SDKs unwrap it. `data` holds ids only, never content. */
export interface WebhookEvent {
  readonly type: 'event';
  readonly id: string;
  readonly created_at: string;
  readonly data: {
    readonly type: string;
    readonly id: string;
    readonly organization_id: string;
    readonly workspace_id: string;
    readonly [extension: string]: unknown;
  };
}

export type WebhookCreate = z.output<typeof webhookCreateSchema>;
export type WebhookUpdate = z.output<typeof webhookUpdateSchema>;
export type Webhook = z.infer<typeof webhookSchema>;
export type WebhookWithSecret = z.infer<typeof webhookWithSecretSchema>;
export type WebhookDelivery = z.infer<typeof webhookDeliverySchema>;
