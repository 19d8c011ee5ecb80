import { aadOf, parseSealed, type Sealer } from '../core/sealing.ts';
import type { SealedRow, SealedTable, WebhookSecret } from '../store/store.ts';

/** What a webhook's secret is sealed with. */
export function webhookAad(tenantId: string, webhookId: string): string {
  return aadOf(tenantId, webhookId, 'webhook');
}

/** What the value of a service's variable is sealed with. */
export function variableAad(tenantId: string, serviceId: string, name: string): string {
  return aadOf(tenantId, serviceId, `env ${name}`);
}

/** Seals what was written before there was sealing. The text itself when there is nothing to do. */
export function createUpgrade(sealer: Sealer): (table: SealedTable, row: SealedRow) => string {
  const ensure = (value: string, aad: string) => (parseSealed(value) === undefined ? sealer.seal(value, aad) : value);
  return (table, { tenantId, id, text }) => {
    if (table === 'webhooks') {
      // Written by the store, of this form.
      const secrets = JSON.parse(text) as readonly WebhookSecret[];
      if (secrets.every(({ value }) => parseSealed(value) !== undefined)) return text;
      return JSON.stringify(secrets.map((secret) => ({ ...secret, value: ensure(secret.value, webhookAad(tenantId, id)) })));
    }
    if (table === 'services') {
      // Written by the services' use case, of this form.
      const spec = JSON.parse(text) as { readonly env?: Readonly<Record<string, string>> };
      const env = Object.entries(spec.env ?? {});
      if (env.every(([, value]) => parseSealed(value) !== undefined)) return text;
      return JSON.stringify({
        ...spec,
        env: Object.fromEntries(env.map(([name, value]) => [name, ensure(value, variableAad(tenantId, id, name))])),
      });
    }
    if (table === 'requests') return ensure(text, answerAad(tenantId, id));
    return text;
  };
}

/** What an answer that is kept for a repeated request is sealed with: it may show a secret that is shown once. */
export function answerAad(tenantId: string, key: string): string {
  return aadOf(tenantId, key, 'answer');
}
