import { WEBHOOK_TEST_TYPE, type WebhookEvent } from '@cloister/api';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { redactKnown } from '../base/redaction/redaction.ts';
import { VERSION } from '../base/version.ts';
import type { Sealer } from '../core/sealing.ts';
import type { Attempt, Deliver } from '../outbox/deliver.ts';
import type { DeliveryRow, Store } from '../store/store.ts';
import { openWebhookSecret } from './secrets.ts';
import type { Send, SendResult } from './send.ts';
import { signedHeaders } from './signing.ts';

export interface WebhookDeliveryDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly send: Send;
  readonly sealer: Sealer;
  /** The `organization_id` of what is sent. */
  readonly installation: string;
}

/** The outbox's way out to webhook endpoints: one signed POST for each attempt. */
export function createWebhookDelivery({ store, clock, send, sealer, installation }: WebhookDeliveryDeps): Deliver {
  return async (delivery, signal) => {
    const webhook = await store.webhooks.find({ tenantId: delivery.tenantId, id: delivery.targetId });
    // A test goes to a disabled endpoint as well: that is how its owner finds out whether it works again.
    if (webhook === undefined || (!webhook.isEnabled && delivery.eventType !== WEBHOOK_TEST_TYPE))
      return { outcome: 'rejected', status: delivery.lastStatus, error: 'The webhook is disabled.', isGone: false };
    const body = redactKnown(JSON.stringify(toWebhookEvent(delivery, installation)));
    const secrets = webhook.secrets.map(({ value, until }) => ({ value: openWebhookSecret(sealer, webhook, value), until }));
    const signed = signedHeaders({ id: delivery.messageId, body, secrets, now: clock.now() });
    const headers = { 'content-type': 'application/json', 'user-agent': `Cloister/${VERSION}`, ...signed };
    return judge(await send({ url: new URL(webhook.url), headers, body }, signal), clock.now());
  };
}

/** The body: the same at every attempt, and for every endpoint that is told. */
export function toWebhookEvent(delivery: DeliveryRow, installation: string): WebhookEvent {
  const { id, ...rest } = delivery.data;
  return {
    type: 'event',
    id: delivery.messageId,
    created_at: toTimestamp(delivery.createdAt),
    data: {
      type: delivery.eventType,
      id: typeof id === 'string' ? id : delivery.targetId,
      organization_id: installation,
      workspace_id: delivery.tenantId,
      ...rest,
    },
  };
}

/** What an attempt came to, by what came back. */
export function judge(result: SendResult, now: number): Attempt {
  switch (result.kind) {
    case 'aborted':
      return { outcome: 'returned' };
    case 'not_sent':
      return { outcome: 'refused', status: null, error: result.error };
    case 'unanswered':
      return { outcome: 'unknown', error: result.error };
    case 'answered':
      return judgeStatus(result, now);
  }
}

function judgeStatus({ status, retryAfter }: Extract<SendResult, { kind: 'answered' }>, now: number): Attempt {
  if (status >= 200 && status < 300) return { outcome: 'sent', status };
  if (status === 410) return { outcome: 'rejected', status, error: 'It answered 410: the endpoint is gone for good.', isGone: true };
  const isRedirect = status >= 300 && status < 400;
  const error = isRedirect ? `It answered ${status}; redirects are not followed.` : `It answered ${status}.`;
  return {
    outcome: 'refused',
    status,
    error,
    retryAfterMs: status === 429 || status === 503 ? parseRetryAfter(retryAfter, now) : undefined,
  };
}

/** Seconds, or a date; anything else says nothing. */
function parseRetryAfter(value: string | null, now: number): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
