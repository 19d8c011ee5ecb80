import { newId } from '../../base/ids.ts';
import type { JsonObject } from '../../base/json.ts';
import { type LoggedEvent, type WebhookMessage, webhookMessages } from '../../core/webhook-events.ts';
import type { DeliveryKind } from '../store.ts';
import type { Transaction } from './engine.ts';
import { all, get, type Query, run, type Sql } from './query.ts';
import { text } from './rows.ts';

/** Deliveries are added in the transaction of what they tell of: there is none without the other. */

const ALL_EVENTS = '*';
const SUBSCRIBERS: Sql = (dialect) => `SELECT event_type, webhook_id FROM webhook_subscriptions
  WHERE tenant_id = :tenantId AND event_type IN ${dialect.listOf('types')}`;
const CALLBACK = 'SELECT target_id FROM turn_callbacks WHERE tenant_id = :tenantId AND turn_id = :turnId';
const INSERT: Sql = ({ now }) => `INSERT INTO deliveries
    (tenant_id, id, kind, target_id, message_id, event_type, data, session_id, state, due_at, created_at)
  VALUES (:tenantId, :id, :kind, :targetId, :messageId, :eventType, :data, :sessionId, 'pending', ${now}, ${now})`;

export interface NewDelivery {
  readonly tenantId: string;
  readonly kind: DeliveryKind;
  readonly targetId: string;
  readonly messageId: string;
  readonly eventType: string;
  readonly data: JsonObject;
  readonly sessionId: string | null;
}

/** Adds one delivery; returns its id. */
export function* addDelivery(tx: Transaction, { data, ...columns }: NewDelivery): Query<string> {
  const id = newId('delivery');
  yield* run(INSERT, { ...columns, id, data: JSON.stringify(data) });
  tx.wakeOutbox?.();
  return id;
}

/** Where the messages come from, and which endpoints shall not get them. */
export interface Origin {
  readonly tenantId: string;
  readonly sessionId: string | null;
  readonly isExcepted?: ((webhookId: string) => boolean) | undefined;
}

/** Adds the deliveries of events that were put into a session's log. */
export function* tellOfEvents(tx: Transaction, events: readonly LoggedEvent[], origin: Origin): Query<void> {
  yield* tellWebhooks(tx, events.flatMap(webhookMessages), origin);
  for (const event of events) if (event.type === 'turn.ended') yield* tellCallback(tx, event, origin);
}

/** Whoever has asked for the answer of this one turn. */
function* tellCallback(tx: Transaction, { id, type, turnId, sessionId }: LoggedEvent, { tenantId }: Origin): Query<void> {
  if (turnId === null) return;
  const row = yield* get(CALLBACK, { tenantId, turnId });
  if (row === undefined) return;
  const targetId = text(row, 'target_id');
  yield* addDelivery(tx, { tenantId, kind: 'callback', targetId, messageId: id, eventType: type, data: { turn_id: turnId }, sessionId });
}

/** Adds the deliveries of something that has no place in a log, such as a new agent. */
export function* tellOf(tx: Transaction, message: Omit<WebhookMessage, 'id'>, origin: Omit<Origin, 'isExcepted'>): Query<void> {
  yield* tellWebhooks(tx, [{ ...message, id: newId('event') }], origin);
}

/** One look for all messages together, which for most tenants finds nobody. */
function* tellWebhooks(tx: Transaction, messages: readonly WebhookMessage[], origin: Origin): Query<void> {
  if (messages.length === 0) return;
  const { tenantId, sessionId, isExcepted = () => false } = origin;
  const types = [...new Set(messages.map(({ type }): string => type)), ALL_EVENTS];
  const subscribers = (yield* all(SUBSCRIBERS, { tenantId, types: JSON.stringify(types) })).map((row) => ({
    type: text(row, 'event_type'),
    targetId: text(row, 'webhook_id'),
  }));
  for (const { id: messageId, type: eventType, data } of messages) {
    for (const { type, targetId } of subscribers) {
      if ((type !== ALL_EVENTS && type !== eventType) || isExcepted(targetId)) continue;
      yield* addDelivery(tx, { tenantId, kind: 'webhook', targetId, messageId, eventType, data, sessionId });
    }
  }
}
