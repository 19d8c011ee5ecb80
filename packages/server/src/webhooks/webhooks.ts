import {
  WEBHOOK_TEST_TYPE,
  type Webhook,
  type WebhookCreate,
  type WebhookDelivery,
  type WebhookUpdate,
  type WebhookWithSecret,
} from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { patchMetadata } from '../agents/definition.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { invariant, PlatformError } from '../base/errors.ts';
import { newId, newWebhookSecret } from '../base/ids.ts';
import type { JsonObject } from '../base/json.ts';
import type { Sealer } from '../core/sealing.ts';
import {
  ALL_EVENTS,
  type DeliveryRow,
  type DeliveryState,
  type Page,
  type PageInput,
  type Store,
  type WebhookRow,
} from '../store/store.ts';
import { webhookAad } from '../vaults/upgrade.ts';
import { openWebhookSecret } from './secrets.ts';

/** Use cases of webhooks: the endpoints that are told of what happens, and what has become of each telling. */
export interface Webhooks {
  create(tenantId: string, body: WebhookCreate, id?: string): Promise<WebhookWithSecret>;
  get(tenantId: string, id: string): Promise<Webhook>;
  list(tenantId: string, input: PageInput): Promise<Page<Webhook>>;
  update(tenantId: string, id: string, body: WebhookUpdate): Promise<Webhook>;
  remove(tenantId: string, id: string): Promise<void>;
  /** A new secret; the former one signs too for a day. */
  rotateSecret(tenantId: string, id: string): Promise<WebhookWithSecret>;
  /** Queues a `webhook.test` event, also for a disabled endpoint. */
  test(tenantId: string, id: string): Promise<WebhookDelivery>;
  listDeliveries(tenantId: string, id: string, input: PageInput & { state?: DeliveryState | undefined }): Promise<Page<WebhookDelivery>>;
  retryDelivery(tenantId: string, id: string, deliveryId: string): Promise<WebhookDelivery>;
}

/** Each event costs a row for every endpoint that hears of it. */
const MAX_WEBHOOKS = 100;
const KEEP_SECRET_MS = 24 * 60 * 60 * 1000;

export interface WebhooksDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly sealer: Sealer;
}

export function createWebhooks({ store, clock, sealer }: WebhooksDeps): Webhooks {
  return {
    async create(tenantId, body, id = newId('webhook')) {
      const row = await store.webhooks.create({
        id,
        tenantId,
        url: body.url,
        events: toEvents(body.events),
        description: body.description || null,
        metadata: body.metadata ?? {},
        secret: sealer.seal(newWebhookSecret(), webhookAad(tenantId, id)),
        max: MAX_WEBHOOKS,
        now: clock.now(),
      });
      // That of an earlier try, if there was one.
      const [current] = row.secrets;
      invariant(current !== undefined, 'a webhook has a secret');
      return { ...toWebhook(row), secret: openWebhookSecret(sealer, row, current.value) };
    },
    get: async (tenantId, id) => toWebhook(await requireWebhook(store, tenantId, id)),
    list: async (tenantId, input) => mapPage(await store.webhooks.list({ tenantId, ...input }), toWebhook),
    async update(tenantId, id, body) {
      const current = await requireWebhook(store, tenantId, id);
      const row = await store.webhooks.update({
        tenantId,
        id,
        url: body.url,
        events: body.events === undefined ? undefined : toEvents(body.events),
        description: body.description === undefined ? undefined : body.description || null,
        metadata: body.metadata ? patchMetadata(textValues(current.metadata), body.metadata) : undefined,
        isEnabled: body.enabled,
        now: clock.now(),
      });
      return toWebhook(row);
    },
    async remove(tenantId, id) {
      if (!(await store.webhooks.remove({ tenantId, id }))) throw notFound(id);
    },
    async rotateSecret(tenantId, id) {
      await requireWebhook(store, tenantId, id);
      const [secret, now] = [newWebhookSecret(), clock.now()];
      const sealed = sealer.seal(secret, webhookAad(tenantId, id));
      const row = await store.webhooks.rotate({ tenantId, id, secret: sealed, keepUntil: now + KEEP_SECRET_MS, now });
      return { ...toWebhook(row), secret };
    },
    async test(tenantId, id) {
      await requireWebhook(store, tenantId, id);
      const [messageId, eventType] = [newId('event'), WEBHOOK_TEST_TYPE];
      return toDelivery(await store.outbox.add({ tenantId, kind: 'webhook', targetId: id, messageId, eventType, data: { id } }));
    },
    async listDeliveries(tenantId, id, input) {
      await requireWebhook(store, tenantId, id);
      return mapPage(await store.outbox.list({ tenantId, targetId: id, ...input }), toDelivery);
    },
    async retryDelivery(tenantId, id, deliveryId) {
      const webhook = await requireWebhook(store, tenantId, id);
      if (!webhook.isEnabled) throw new PlatformError('webhook_disabled');
      const row = await store.outbox.retry({ tenantId, targetId: id, id: deliveryId });
      if (row !== undefined) return toDelivery(row);
      throw new PlatformError('delivery_not_found', { detail: `The webhook has no delivery "${deliveryId.slice(0, 80)}".` });
    },
  };
}

async function requireWebhook(store: Store, tenantId: string, id: string): Promise<WebhookRow> {
  const row = await store.webhooks.find({ tenantId, id });
  if (row === undefined) throw notFound(id);
  return row;
}

function notFound(id: string): PlatformError {
  return new PlatformError('webhook_not_found', { detail: `There is no webhook "${id.slice(0, 80)}".` });
}

function toEvents(events: WebhookCreate['events']): readonly string[] {
  return events === '*' ? [ALL_EVENTS] : [...new Set(events)];
}

function toWebhook(row: WebhookRow): Webhook {
  return {
    id: row.id,
    type: 'webhook',
    url: row.url,
    events: row.events.includes(ALL_EVENTS) ? '*' : [...row.events],
    description: row.description,
    metadata: textValues(row.metadata),
    enabled: row.isEnabled,
    disabled_reason: row.disabledReason,
    failing_since: timestampOrNull(row.failingSince),
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
  };
}

function toDelivery(row: DeliveryRow): WebhookDelivery {
  return {
    id: row.id,
    type: 'webhook_delivery',
    webhook_id: row.targetId,
    message_id: row.messageId,
    event_type: row.eventType,
    session_id: row.sessionId,
    state: row.state,
    attempts: row.attempt,
    last_status: row.lastStatus,
    last_error: row.lastError,
    last_attempt_at: timestampOrNull(row.lastAttemptAt),
    next_attempt_at: row.leaseOwner === null ? timestampOrNull(row.dueAt) : null,
    created_at: toTimestamp(row.createdAt),
    ended_at: timestampOrNull(row.endedAt),
  };
}

function timestampOrNull(ms: number | null): string | null {
  return ms === null ? null : toTimestamp(ms);
}

function textValues(metadata: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
