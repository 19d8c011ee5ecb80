import { createHmac } from 'node:crypto';
import type { WebhookSecret } from '../store/store.ts';

/** Secrets are base64 behind this prefix, as Standard Webhooks has it. */
const SECRET_PREFIX = 'whsec_';

/**
 * The headers of Standard Webhooks 1.0. Every secret that is still in use signs, so that a receiver may
 * change over at any time of a rotation.
 */
export function signedHeaders(input: {
  readonly id: string;
  readonly body: string;
  readonly secrets: readonly WebhookSecret[];
  readonly now: number;
}): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const timestamp = String(Math.floor(input.now / 1000));
  const usable = input.secrets.filter(({ until }) => until === null || until > input.now);
  const content = `${input.id}.${timestamp}.${input.body}`;
  const signature = usable.map(({ value }) => `v1,${sign(value, content)}`).join(' ');
  return { 'webhook-id': input.id, 'webhook-timestamp': timestamp, 'webhook-signature': signature };
}

function sign(secret: string, content: string): string {
  const key = Buffer.from(secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret, 'base64');
  return createHmac('sha256', key).update(content, 'utf8').digest('base64');
}
