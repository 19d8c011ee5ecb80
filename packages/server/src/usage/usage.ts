import type { ModelCall, UsageSummary, UsageTotal } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { toTimestamp } from '../base/clock.ts';
import type { CallRecord, Page, PageInput, UsageFilter, UsageGroup, UsageStore, UsageSum } from '../store/store.ts';
import { csvLine } from './csv.ts';

/** What models have cost. `tenantId` of a filter is undefined for who may see all tenants. */
export interface UsageReports {
  readonly currency: string;
  sums(input: UsageFilter & PageInput & { readonly groups: readonly UsageGroup[] }): Promise<Page<UsageSummary>>;
  total(filter: UsageFilter): Promise<UsageTotal>;
  calls(input: UsageFilter & PageInput): Promise<Page<ModelCall>>;
  /** All rows as CSV, a page of them at a time. */
  csv(input: UsageFilter & { readonly groups: readonly UsageGroup[]; readonly order: 'asc' | 'desc' }): AsyncGenerator<string, void>;
}

const CSV_ROWS = 500;
const NAMES = ['day', 'tenant_id', 'agent_id', 'session_id', 'provider', 'model'] as const;
const COUNTS = [
  'calls',
  'estimated_calls',
  'input_tokens',
  'output_tokens',
  'cache_read_input_tokens',
  'cache_creation_input_tokens',
  'cost_micros',
  'cost',
] as const;
const NOTHING: UsageSum = {
  day: null,
  tenantId: null,
  agentId: null,
  sessionId: null,
  provider: null,
  model: null,
  calls: 0,
  estimatedCalls: 0,
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheCreationTokens: 0,
  costMicros: 0,
};

export function createUsageReports({ usage, currency }: { readonly usage: UsageStore; readonly currency: string }): UsageReports {
  return {
    currency,
    sums: async (input) => mapPage(await usage.sums(input), toSummary),
    async total(filter) {
      const { data } = await usage.sums({ ...filter, groups: [], limit: 1, order: 'asc' });
      return toTotal(data[0] ?? NOTHING);
    },
    calls: async (input) => mapPage(await usage.calls(input), (call) => toCall(call, currency)),
    async *csv(input) {
      yield csvLine([...NAMES, ...COUNTS, 'currency']);
      for (let page: string | undefined; ; ) {
        const { data, next }: Page<UsageSum> = await usage.sums({ ...input, limit: CSV_ROWS, page });
        yield data.map((row) => csvRow(toSummary(row), currency)).join('');
        if (next === null) return;
        page = next;
      }
    },
  };
}

function csvRow(row: UsageSummary, currency: string): string {
  return csvLine([...NAMES.map((name) => row[name]), ...COUNTS.map((name) => row[name]), currency]);
}

function toTotal(sum: UsageSum): UsageTotal {
  return {
    calls: sum.calls,
    estimated_calls: sum.estimatedCalls,
    input_tokens: sum.inputTokens,
    output_tokens: sum.outputTokens,
    cache_read_input_tokens: sum.cacheReadTokens,
    cache_creation_input_tokens: sum.cacheCreationTokens,
    cost_micros: sum.costMicros,
    cost: toDecimal(sum.costMicros),
  };
}

function toSummary(sum: UsageSum): UsageSummary {
  return {
    type: 'usage',
    day: sum.day === null ? null : toTimestamp(sum.day).slice(0, 10),
    tenant_id: sum.tenantId,
    agent_id: sum.agentId,
    session_id: sum.sessionId,
    provider: sum.provider,
    model: sum.model,
    ...toTotal(sum),
  };
}

function toCall(call: CallRecord, currency: string): ModelCall {
  const { usage, costMicros } = call;
  return {
    id: call.id,
    type: 'model_call',
    tenant_id: call.tenantId,
    agent_id: call.agentId,
    session_id: call.sessionId,
    turn_id: call.turnId,
    provider: call.provider,
    model: call.model,
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    cache_read_input_tokens: usage.cacheReadTokens,
    cache_creation_input_tokens: usage.cacheCreationTokens,
    cost_micros: costMicros,
    cost: toDecimal(costMicros),
    currency,
    price_version: call.priceVersion,
    estimated: call.isEstimated,
    outcome: call.outcome,
    started_at: toTimestamp(call.startedAt),
    duration_ms: Math.max(0, call.endedAt - call.startedAt),
  };
}

const MICROS = 1_000_000;

/** By whole numbers, so that nothing is rounded. */
function toDecimal(micros: number): string {
  const sign = micros < 0 ? '-' : '';
  const whole = Math.abs(micros);
  return `${sign}${Math.floor(whole / MICROS)}.${String(whole % MICROS).padStart(6, '0')}`;
}
