import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { DeliveryResult, DeliveryRow, Store, TargetHealth, WebhookRow } from '../store.ts';
import { append, createSession, lease, newEvent, queue, T0, TENANT } from './kit.ts';

export const NODE = 'nod_outbox';
export const LEASE_MS = 30_000;
export const ENDED = 'cloister.turn.ended';
export const STARTED = 'session.status_run_started';

export async function createWebhook(
  store: Store,
  input: { tenantId?: string; events?: readonly string[]; max?: number } = {},
): Promise<WebhookRow> {
  return store.webhooks.create({
    id: newId('webhook'),
    tenantId: input.tenantId ?? TENANT,
    url: 'https://example.com/hook',
    events: input.events ?? ['*'],
    description: null,
    metadata: {},
    secret: 'whsec_AAAA',
    max: input.max ?? 100,
    now: T0,
  });
}

/** Adds `count` deliveries to the webhook, whatever it is subscribed to. */
export async function fill(store: Store, webhook: WebhookRow, count: number): Promise<readonly DeliveryRow[]> {
  const added: DeliveryRow[] = [];
  for (let index = 0; index < count; index++) {
    const { tenantId, id: targetId } = webhook;
    added.push(
      await store.outbox.add({
        tenantId,
        kind: 'webhook',
        targetId,
        messageId: newId('event'),
        eventType: 'webhook.test',
        data: { index },
      }),
    );
  }
  return added;
}

export async function leaseDeliveries(
  store: Store,
  input: { limit?: number; maxPerTarget?: number; leaseMs?: number; except?: readonly string[] } = {},
): Promise<readonly DeliveryRow[]> {
  const { limit = 100, maxPerTarget = 2, leaseMs = LEASE_MS, except = [] } = input;
  return store.outbox.lease({ nodeId: NODE, leaseMs, limit, maxPerTarget, except, now: T0 });
}

/** How long until something can be leased. */
export async function dueInMs(store: Store, except: readonly string[] = []): Promise<number | undefined> {
  return store.outbox.dueInMs({ maxPerTarget: 2, except });
}

export async function leaseOne(store: Store, leaseMs = LEASE_MS): Promise<DeliveryRow> {
  const [one] = await leaseDeliveries(store, { limit: 1, leaseMs });
  return one ?? assert.fail('a delivery is due');
}

export async function settle(store: Store, { id, attempt }: DeliveryRow, result: DeliveryResult, health: TargetHealth = 'none', now = T0) {
  await store.outbox.settle({ id, attempt, result, health, now });
}

export const again = (afterMs = 0): DeliveryResult => ({
  kind: 'retry',
  state: 'pending',
  afterMs,
  status: 500,
  error: 'It answered 500.',
});
export const dead = (): DeliveryResult => ({ kind: 'failed', status: 410, error: 'It answered 410.', report: newEvent('delivery.failed') });
export const SENT: DeliveryResult = { kind: 'sent', status: 204 };

export async function find(store: Store, { id, tenantId }: { readonly id: string; readonly tenantId: string }): Promise<DeliveryRow> {
  return (await store.outbox.find({ tenantId, id })) ?? assert.fail('the delivery exists');
}

export async function deliveriesOf(store: Store, { tenantId, id: targetId }: WebhookRow): Promise<readonly DeliveryRow[]> {
  return (await store.outbox.list({ tenantId, targetId, limit: 1000, order: 'asc' })).data;
}

export async function typesOf(store: Store, webhook: WebhookRow): Promise<readonly string[]> {
  return (await deliveriesOf(store, webhook)).map((one) => one.eventType);
}

/** A session whose turn has begun and put one more event into the log. */
export async function workedSession(store: Store, ...types: readonly string[]) {
  const session = await createSession(store);
  await queue(store, session.id);
  const leased = await lease(store);
  const events = types.map((type) => newEvent(type, { outcome: 'completed', event_id: 'evt_asked' }));
  await append(store, leased, { events });
  return { session, leased, events };
}
