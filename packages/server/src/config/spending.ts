import type { SpendingSettings } from '../core/spending-settings.ts';
import { absolutePath, type Environment, integer, limit, seconds, times } from './values.ts';

const DAY_MS = 86_400_000;

export function spendingSettings(env: Environment): SpendingSettings {
  return {
    pricesFile: absolutePath(env, 'PRICES_FILE'),
    bytesPerToken: integer(env, 'BUDGET_BYTES_PER_TOKEN', 2, { min: 1, max: 8 }),
    defaultMaxOutputTokens: integer(env, 'BUDGET_MAX_OUTPUT_TOKENS', 16_384, { min: 16, max: 1_000_000 }),
    holdMs: seconds(env, 'BUDGET_HOLD_SECONDS', 240) * 1000,
    pollMs: seconds(env, 'BUDGET_POLL_SECONDS', 2) * 1000,
    recordsMs: times(limit(env, 'USAGE_RECORD_DAYS', { max: 36_500, fallback: 400 }), DAY_MS),
  };
}
