import { DAY_MS } from '../../core/periods.ts';
import {
  CALL_OUTCOMES,
  type CallRecord,
  type Page,
  USAGE_GROUPS,
  type UsageFilter,
  type UsageGroup,
  type UsageStore,
  type UsageSum,
} from '../store.ts';
import { filtersOf, listPage } from './listing.ts';
import type { Params, Query, Row } from './query.ts';
import { integer, oneOf, optionalInteger, optionalText, text } from './rows.ts';

/** A model's name is one only together with its provider's. */
const COLUMNS: Readonly<Record<UsageGroup, readonly string[]>> = {
  day: ['day'],
  tenant: ['tenant_id'],
  agent: ['agent_id'],
  session: ['session_id'],
  model: ['provider', 'model'],
};
const ALL_COLUMNS = USAGE_GROUPS.flatMap((group) => COLUMNS[group]);
const COUNTS = ['calls', 'estimated_calls', 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_creation_tokens', 'cost_micros'];
// PostgreSQL answers a sum of whole numbers as a decimal one.
const SUMS = COUNTS.map((column) => `CAST(sum(${column}) AS BIGINT) AS ${column}`).join(', ');

export function* sums({ groups, limit, page, order, ...filter }: Parameters<UsageStore['sums']>[0]): Query<Page<UsageSum>> {
  const { conditions, params } = conditionsOf(filter, 'day');
  const columns = USAGE_GROUPS.filter((group) => groups.includes(group)).flatMap((group) => COLUMNS[group]);
  const others = ALL_COLUMNS.filter((column) => !columns.includes(column)).map((column) => `NULL AS ${column}`);
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
  const grouped = columns.length === 0 ? 'HAVING count(*) > 0' : `GROUP BY ${columns.join(', ')}`;
  const inner = `SELECT ${[...columns, ...others, SUMS].join(', ')}, 1 AS whole FROM usage_days ${where} ${grouped}`;
  const keys = columns.length === 0 ? ['whole'] : columns;
  return yield* listPage(
    {
      scope: ['usage', ...scopeOf(filter), ...groups],
      select: `SELECT * FROM (${inner}) AS u`,
      filters: { conditions: ['1 = 1'], params },
      keys: keys.map((column) => ({ column, as: column })),
      parse: parseSum,
    },
    { limit, page, order },
  );
}

export function* calls({ limit, page, order, ...filter }: Parameters<UsageStore['calls']>[0]): Query<Page<CallRecord>> {
  const { conditions, params } = conditionsOf(filter, 'started_at');
  return yield* listPage(
    {
      scope: ['model-calls', ...scopeOf(filter)],
      select: 'SELECT * FROM model_calls',
      filters: filtersOf(params, ['outcome IS NOT NULL', ...conditions]),
      keys: [
        { column: 'started_at', as: 'started_at' },
        { column: 'id', as: 'id' },
      ],
      parse: parseCall,
    },
    { limit, page, order },
  );
}

function conditionsOf(filter: UsageFilter, time: 'day' | 'started_at'): { readonly conditions: string[]; readonly params: Params } {
  const { from, to, ...equal } = filter;
  const columns = { tenantId: 'tenant_id', agentId: 'agent_id', sessionId: 'session_id', provider: 'provider', model: 'model' } as const;
  const given = Object.entries(columns).flatMap(([name, column]) => {
    // As: the entries are those of the object above.
    const value = equal[name as keyof typeof columns];
    return value === undefined ? [] : [{ name, value, condition: `${column} = :${name}` }];
  });
  const bounds = [
    ...(from === undefined ? [] : [{ name: 'from', value: from, condition: `${time} >= :from` }]),
    // The last day counts whole.
    ...(to === undefined ? [] : [{ name: 'to', value: to + DAY_MS, condition: `${time} < :to` }]),
  ];
  const parts = [...given, ...bounds];
  return { conditions: parts.map((part) => part.condition), params: Object.fromEntries(parts.map(({ name, value }) => [name, value])) };
}

function scopeOf({ tenantId, agentId, sessionId, provider, model, from, to }: UsageFilter): string[] {
  return [tenantId, agentId, sessionId, provider, model, from, to].map((value) => JSON.stringify(value ?? null));
}

function parseSum(row: Row): UsageSum {
  return {
    day: optionalInteger(row, 'day'),
    tenantId: optionalText(row, 'tenant_id'),
    agentId: optionalText(row, 'agent_id'),
    sessionId: optionalText(row, 'session_id'),
    provider: optionalText(row, 'provider'),
    model: optionalText(row, 'model'),
    calls: integer(row, 'calls'),
    estimatedCalls: integer(row, 'estimated_calls'),
    ...usageOf(row),
    costMicros: integer(row, 'cost_micros'),
  };
}

function parseCall(row: Row): CallRecord {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    agentId: text(row, 'agent_id'),
    sessionId: text(row, 'session_id'),
    turnId: optionalText(row, 'turn_id'),
    provider: text(row, 'provider'),
    model: text(row, 'model'),
    startedAt: integer(row, 'started_at'),
    usage: usageOf(row),
    costMicros: integer(row, 'cost_micros'),
    priceVersion: text(row, 'price_version'),
    isEstimated: integer(row, 'is_estimated') === 1,
    outcome: oneOf(row, 'outcome', CALL_OUTCOMES),
    endedAt: integer(row, 'ended_at'),
  };
}

function usageOf(row: Row): CallRecord['usage'] {
  return {
    inputTokens: integer(row, 'input_tokens'),
    outputTokens: integer(row, 'output_tokens'),
    cacheReadTokens: integer(row, 'cache_read_tokens'),
    cacheCreationTokens: integer(row, 'cache_creation_tokens'),
  };
}
