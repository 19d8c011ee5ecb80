import { dayStart } from '../../core/periods.ts';
import { CALL_OUTCOMES, type CallRecord, type CallSubject, type UsageStore } from '../store.ts';
import { chargeBudgets, reserveOn } from './budgets.ts';
import type { Engine } from './engine.ts';
import { all, get, type Query, type Row, run, type Sql } from './query.ts';
import { integer, oneOf, optionalText, stringList, text } from './rows.ts';
import { calls, sums } from './usage-report.ts';

const HOLD: Sql = ({ forUpdate }) => `SELECT cost_micros, reserved_micros, budget_ids, outcome FROM model_calls
  WHERE tenant_id = :tenantId AND id = :id ${forUpdate()}`;
const INSERT = `INSERT INTO model_calls (tenant_id, id, agent_id, session_id, turn_id, provider, model, input_tokens, output_tokens,
    cache_read_tokens, cache_creation_tokens, cost_micros, price_version, is_estimated, outcome, started_at, ended_at)
  VALUES (:tenantId, :id, :agentId, :sessionId, :turnId, :provider, :model, :inputTokens, :outputTokens,
    :cacheReadTokens, :cacheCreationTokens, :costMicros, :priceVersion, :isEstimated, :outcome, :startedAt, :endedAt)
  ON CONFLICT DO NOTHING`;
const INSERT_OPEN: Sql = ({ now }) => `INSERT INTO model_calls (tenant_id, id, agent_id, session_id, turn_id, provider, model,
    reserved_micros, budget_ids, node_id, lease_until, started_at)
  VALUES (:tenantId, :id, :agentId, :sessionId, :turnId, :provider, :model, :amount, :ids, :nodeId, ${now} + :leaseMs, :startedAt)`;
const END = `UPDATE model_calls SET turn_id = :turnId, provider = :provider, model = :model, input_tokens = :inputTokens,
    output_tokens = :outputTokens, cache_read_tokens = :cacheReadTokens, cache_creation_tokens = :cacheCreationTokens,
    cost_micros = :costMicros, price_version = :priceVersion, is_estimated = :isEstimated, outcome = :outcome, ended_at = :endedAt,
    reserved_micros = 0, lease_until = NULL
  WHERE tenant_id = :tenantId AND id = :id`;
const LOSE = `UPDATE model_calls SET cost_micros = reserved_micros, reserved_micros = 0, price_version = 'reservation', is_estimated = 1,
    outcome = 'lost', ended_at = :now, lease_until = NULL
  WHERE tenant_id = :tenantId AND id = :id`;
const EXTEND: Sql = ({ now }) =>
  `UPDATE model_calls SET lease_until = ${now} + :leaseMs WHERE node_id = :nodeId AND outcome IS NULL AND lease_until IS NOT NULL`;
const FIND_LOST: Sql = ({ now, forUpdateSkipLocked }) => `SELECT * FROM model_calls
  WHERE outcome IS NULL AND (lease_until <= ${now} OR (:isSoleNode = 1 AND node_id <> :nodeId))
  ORDER BY id LIMIT :limit ${forUpdateSkipLocked('model_calls')}`;
const ADD_TO_DAY = `INSERT INTO usage_days (tenant_id, day, agent_id, session_id, provider, model, calls, estimated_calls,
    input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, cost_micros)
  VALUES (:tenantId, :day, :agentId, :sessionId, :provider, :model, :calls, :estimatedCalls,
    :inputTokens, :outputTokens, :cacheReadTokens, :cacheCreationTokens, :costMicros)
  ON CONFLICT (tenant_id, day, agent_id, session_id, provider, model) DO UPDATE SET calls = usage_days.calls + excluded.calls,
    estimated_calls = usage_days.estimated_calls + excluded.estimated_calls,
    input_tokens = usage_days.input_tokens + excluded.input_tokens, output_tokens = usage_days.output_tokens + excluded.output_tokens,
    cache_read_tokens = usage_days.cache_read_tokens + excluded.cache_read_tokens,
    cache_creation_tokens = usage_days.cache_creation_tokens + excluded.cache_creation_tokens,
    cost_micros = usage_days.cost_micros + excluded.cost_micros`;
const PURGE: Sql = ({ forUpdateSkipLocked }) => `DELETE FROM model_calls WHERE id IN
  (SELECT id FROM model_calls WHERE started_at < :before AND outcome IS NOT NULL ORDER BY started_at LIMIT :limit
    ${forUpdateSkipLocked('model_calls')})`;

const NOTHING = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheCreationTokens: 0 } as const;

export function createUsageStore(engine: Engine): UsageStore {
  return {
    settle: ({ call, now }) => engine.write(() => settle(call, now)),
    reserve: (input) => engine.write(() => reserve(input)),
    async extend({ nodeId, leaseMs }) {
      await engine.write(() => run(EXTEND, { nodeId, leaseMs }));
    },
    sweep: (input) => engine.write(() => sweep(input)),
    sums: (input) => engine.read(() => sums(input)),
    calls: (input) => engine.read(() => calls(input)),
    purge: ({ before, limit }) => engine.write(() => run(PURGE, { before, limit })),
  };
}

function* settle(call: CallRecord, now: number): Query<void> {
  const { tenantId, id } = call;
  const held = yield* get(HOLD, { tenantId, id });
  if (held === undefined) {
    if ((yield* run(INSERT, fields(call))) === 0) return;
    yield* chargeBudgets(call, { costMicros: call.costMicros, releasedMicros: 0, ids: [], now });
    return yield* addToDay(call, { ...call.usage, calls: 1, estimatedCalls: call.isEstimated ? 1 : 0, costMicros: call.costMicros });
  }
  const outcome = held.outcome === null ? null : oneOf(held, 'outcome', CALL_OUTCOMES);
  if (outcome !== null && outcome !== 'lost') return;
  yield* run(END, endFields(call));
  const charged = outcome === 'lost' ? integer(held, 'cost_micros') : 0;
  const costMicros = call.costMicros - charged;
  const releasedMicros = outcome === null ? integer(held, 'reserved_micros') : 0;
  yield* chargeBudgets(call, { costMicros, releasedMicros, ids: stringList(held, 'budget_ids'), now });
  const isCounted = outcome === 'lost' ? 1 : 0;
  const estimatedCalls = (call.isEstimated ? 1 : 0) - isCounted;
  yield* addToDay(call, { ...call.usage, calls: 1 - isCounted, estimatedCalls, costMicros });
}

function* reserve({ call, amountMicros, nodeId, leaseMs, now }: Parameters<UsageStore['reserve']>[0]): ReturnType<typeof reserveOn> {
  const { startedAt, ...subject } = call;
  const found = yield* reserveOn(call, { amountMicros, now });
  if (found.type !== 'reserved') return found;
  const ids = JSON.stringify(found.ids);
  yield* run(INSERT_OPEN, { ...subject, amount: amountMicros, ids, nodeId, leaseMs, startedAt });
  return found;
}

function* sweep({ nodeId, isSoleNode, limit, now }: Parameters<UsageStore['sweep']>[0]): Query<number> {
  const lost = yield* all(FIND_LOST, { nodeId, isSoleNode: isSoleNode ? 1 : 0, limit });
  for (const row of lost) {
    const call = parseSubject(row);
    const { tenantId, id } = call;
    const costMicros = integer(row, 'reserved_micros');
    yield* run(LOSE, { tenantId, id, now });
    yield* chargeBudgets(call, { costMicros, releasedMicros: costMicros, ids: stringList(row, 'budget_ids'), now });
    yield* addToDay(call, { ...NOTHING, calls: 1, estimatedCalls: 1, costMicros });
  }
  return lost.length;
}

type DayCounts = CallRecord['usage'] & Record<'calls' | 'estimatedCalls' | 'costMicros', number>;

/** A call belongs to the day it began on, also when it is put right later. */
function* addToDay({ tenantId, agentId, sessionId, provider, model, startedAt }: CallSubject, counts: DayCounts): Query<void> {
  yield* run(ADD_TO_DAY, { tenantId, agentId, sessionId, provider, model, day: dayStart(startedAt), ...counts });
}

function fields(call: CallRecord) {
  const { agentId, sessionId, startedAt } = call;
  return { ...endFields(call), agentId, sessionId, startedAt };
}

function endFields({ usage, isEstimated, tenantId, id, turnId, provider, model, costMicros, priceVersion, outcome, endedAt }: CallRecord) {
  const { inputTokens, outputTokens, cacheReadTokens, cacheCreationTokens } = usage;
  const counts = { inputTokens, outputTokens, cacheReadTokens, cacheCreationTokens };
  return { tenantId, id, turnId, provider, model, ...counts, costMicros, priceVersion, isEstimated: isEstimated ? 1 : 0, outcome, endedAt };
}

function parseSubject(row: Row): CallSubject {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    agentId: text(row, 'agent_id'),
    sessionId: text(row, 'session_id'),
    turnId: optionalText(row, 'turn_id'),
    provider: text(row, 'provider'),
    model: text(row, 'model'),
    startedAt: integer(row, 'started_at'),
  };
}
