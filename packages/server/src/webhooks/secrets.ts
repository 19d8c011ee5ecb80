import { parseSealed, type Sealer } from '../core/sealing.ts';
import type { WebhookRow } from '../store/store.ts';
import { openSecret } from '../vaults/envelope.ts';
import { webhookAad } from '../vaults/upgrade.ts';

/** A webhook's secret as it signs; one of before there was sealing is as it is until a start has sealed it. */
export function openWebhookSecret(sealer: Sealer, { tenantId, id }: Pick<WebhookRow, 'tenantId' | 'id'>, value: string): string {
  return parseSealed(value) === undefined ? value : openSecret(sealer, value, webhookAad(tenantId, id));
}
