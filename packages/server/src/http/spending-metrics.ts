import { Counter, type Registry } from 'prom-client';
import type { SpendingParts } from '../usage/wiring.ts';

const KINDS = { input: 'inputTokens', output: 'outputTokens', cache_read: 'cacheReadTokens', cache_write: 'cacheCreationTokens' } as const;

/** What this server's sandboxes have used of models since its start. */
export function spendingMetrics(registry: Registry, { records, reports }: Pick<SpendingParts, 'records' | 'reports'>): void {
  const labels = ['provider', 'model'] as const;
  new Counter({
    name: 'cloister_model_calls_total',
    help: 'Model calls that are over',
    labelNames: labels,
    registers: [registry],
    collect() {
      this.reset();
      for (const { provider, model, calls } of records.totals().values()) this.inc({ provider, model }, calls);
    },
  });
  new Counter({
    name: 'cloister_model_tokens_total',
    help: 'Tokens of model calls, by kind',
    labelNames: [...labels, 'kind'],
    registers: [registry],
    collect() {
      this.reset();
      for (const totals of records.totals().values())
        for (const [kind, field] of Object.entries(KINDS))
          this.inc({ provider: totals.provider, model: totals.model, kind }, totals[field]);
    },
  });
  new Counter({
    name: 'cloister_model_cost_total',
    help: 'What model calls cost, in the currency of the label',
    labelNames: [...labels, 'currency'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { provider, model, costMicros } of records.totals().values())
        this.inc({ provider, model, currency: reports.currency }, costMicros / 1_000_000);
    },
  });
  new Counter({
    name: 'cloister_model_calls_unrecorded_total',
    help: 'Model calls whose cost could not be kept, since the database did not keep up',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(records.dropped());
    },
  });
}
