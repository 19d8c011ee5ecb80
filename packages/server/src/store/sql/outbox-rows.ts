import { PlatformError } from '../../base/errors.ts';
import { DELIVERY_KINDS, DELIVERY_STATES, type DeliveryRow, WEBHOOK_DISABLED, type WebhookRow, type WebhookSecret } from '../store.ts';
import type { Row } from './query.ts';
import { integer, json, oneOf, optionalInteger, optionalText, stringList, text } from './rows.ts';

export function parseDelivery(row: Row): DeliveryRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    kind: oneOf(row, 'kind', DELIVERY_KINDS),
    targetId: text(row, 'target_id'),
    messageId: text(row, 'message_id'),
    eventType: text(row, 'event_type'),
    data: json(row, 'data'),
    sessionId: optionalText(row, 'session_id'),
    state: oneOf(row, 'state', DELIVERY_STATES),
    attempt: integer(row, 'attempt'),
    failures: integer(row, 'failures'),
    dueAt: optionalInteger(row, 'due_at'),
    leaseOwner: optionalText(row, 'lease_owner'),
    lastStatus: optionalInteger(row, 'last_status'),
    lastError: optionalText(row, 'last_error'),
    lastAttemptAt: optionalInteger(row, 'last_attempt_at'),
    createdAt: integer(row, 'created_at'),
    endedAt: optionalInteger(row, 'ended_at'),
  };
}

export function parseWebhook(row: Row): WebhookRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    url: text(row, 'url'),
    events: stringList(row, 'events'),
    description: optionalText(row, 'description'),
    metadata: json(row, 'metadata'),
    secrets: secrets(row),
    isEnabled: integer(row, 'is_enabled') === 1,
    disabledReason: row.disabled_reason === null ? null : oneOf(row, 'disabled_reason', WEBHOOK_DISABLED),
    failingSince: optionalInteger(row, 'failing_since'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  };
}

function secrets(row: Row): readonly WebhookSecret[] {
  const value: unknown = JSON.parse(text(row, 'secrets'));
  if (Array.isArray(value) && value.every(isSecret)) return value;
  throw new PlatformError('bug', { cause: new Error('the column secrets is not a list of secrets') });
}

function isSecret(value: unknown): value is WebhookSecret {
  if (typeof value !== 'object' || value === null || !('value' in value) || !('until' in value)) return false;
  return typeof value.value === 'string' && (value.until === null || typeof value.until === 'number');
}
