import { invariant, PlatformError } from '../../base/errors.ts';
import { dayStart, monthStart } from '../../core/periods.ts';
import {
  BUDGET_PERIODS,
  BUDGET_SCOPES,
  type BudgetPeriod,
  type BudgetRow,
  type BudgetScope,
  type BudgetStore,
  type CallSubject,
  type Reservation,
} from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { all, get, type Query, type Row, run, type Sql } from './query.ts';
import { integer, oneOf, text } from './rows.ts';

const APPLIES = `tenant_id = :tenantId AND ((scope = 'tenant' AND subject_id = :tenantId)
  OR (scope = 'agent' AND subject_id = :agentId) OR (scope = 'session' AND subject_id = :sessionId))`;
/** In one order, so that two servers never wait for each other. */
const HOLD: Sql = ({ forUpdate }) => `SELECT * FROM budgets WHERE ${APPLIES} ORDER BY id ${forUpdate()}`;
const HOLD_CHARGED: Sql = ({ listOf, forUpdate }) =>
  forUpdate() &&
  `SELECT 1 FROM budgets WHERE (${APPLIES}) OR (tenant_id = :tenantId AND id IN ${listOf('ids')}) ORDER BY id ${forUpdate()}`;
const START = `CASE period WHEN 'day' THEN :day WHEN 'month' THEN :month ELSE 0 END`;
/** What a new period begins without; a clock that was set back begins none. */
const RENEWED = (column: string): string => `CASE WHEN period_start < ${START} THEN 0 ELSE ${column} END`;
const RENEW = `spent_micros = ${RENEWED('spent_micros')} + :cost, raised_micros = ${RENEWED('raised_micros')},
  period_start = CASE WHEN period_start < ${START} THEN ${START} ELSE period_start END`;
const RESERVE: Sql = ({ listOf }) => `UPDATE budgets SET ${RENEW}, reserved_micros = reserved_micros + :amount
  WHERE tenant_id = :tenantId AND id IN ${listOf('ids')}`;
const CHARGE: Sql = ({ listOf }) => `UPDATE budgets SET ${RENEW},
    reserved_micros = reserved_micros - CASE WHEN id IN ${listOf('ids')} THEN :released ELSE 0 END
  WHERE (${APPLIES}) OR (tenant_id = :tenantId AND id IN ${listOf('ids')})`;
const FIND = 'SELECT * FROM budgets WHERE tenant_id = :tenantId AND id = :id';
const HOLD_ONE: Sql = ({ forUpdate }) => `${FIND} ${forUpdate()}`;
const COUNT = 'SELECT count(*) AS number FROM budgets WHERE tenant_id = :tenantId';
/** So that no call is settled between what the day's sums say and the budget that goes on from there. */
const HOLD_CALLS: Sql = ({ name }) => (name === 'postgres' ? 'LOCK TABLE model_calls IN SHARE MODE' : '');
const SPENT = `SELECT CAST(coalesce(sum(cost_micros), 0) AS BIGINT) AS spent FROM usage_days
  WHERE tenant_id = :tenantId AND day >= :periodStart AND (:scope = 'tenant'
    OR (:scope = 'agent' AND agent_id = :subjectId) OR (:scope = 'session' AND session_id = :subjectId))`;
const INSERT = `INSERT INTO budgets (tenant_id, id, scope, subject_id, period, limit_micros, spent_micros, period_start, created_at, updated_at)
  VALUES (:tenantId, :id, :scope, :subjectId, :period, :limitMicros, :spent, :periodStart, :now, :now)`;
const SET_LIMIT = 'UPDATE budgets SET limit_micros = :limitMicros, updated_at = :now WHERE tenant_id = :tenantId AND id = :id';
const REMEMBER_RAISE = `INSERT INTO budget_raises (tenant_id, budget_id, raise_key, amount_micros, created_at)
  VALUES (:tenantId, :id, :key, :amountMicros, :now) ON CONFLICT DO NOTHING`;
const RAISE = `UPDATE budgets SET ${RENEW}, updated_at = :now WHERE tenant_id = :tenantId AND id = :id`;
const ADD_RAISE = 'UPDATE budgets SET raised_micros = raised_micros + :amountMicros WHERE tenant_id = :tenantId AND id = :id';
const REMOVE_RAISES = 'DELETE FROM budget_raises WHERE tenant_id = :tenantId AND budget_id = :id';
const REMOVE = 'DELETE FROM budgets WHERE tenant_id = :tenantId AND id = :id';
const COUNT_CHANGE = `INSERT INTO budget_version (id, version) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET version = budget_version.version + 1`;

type ReserveResult = { readonly type: 'reserved'; readonly ids: readonly string[] } | Exclude<Reservation, { type: 'reserved' }>;

export function createBudgetStore(engine: Engine): BudgetStore {
  return {
    create: (input) => engine.write(() => create(input)),
    find: ({ tenantId, id, now }) =>
      engine.read(function* () {
        const row = yield* get(FIND, { tenantId, id });
        return row && inPeriod(parseBudget(row), now);
      }),
    list: ({ tenantId, scope, subjectId, now, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['budgets', tenantId, scope ?? '', subjectId ?? ''],
            select: 'SELECT * FROM budgets',
            filters: filtersOf({ tenantId, ...(scope === undefined ? {} : { scope }), ...(subjectId === undefined ? {} : { subjectId }) }, [
              'tenant_id = :tenantId',
              scope === undefined ? undefined : 'scope = :scope',
              subjectId === undefined ? undefined : 'subject_id = :subjectId',
            ]),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: (row) => inPeriod(parseBudget(row), now),
          },
          input,
        ),
      ),
    update: ({ tenantId, id, limitMicros, now }) =>
      engine.write(function* () {
        yield* holdBudget(tenantId, id);
        yield* run(SET_LIMIT, { tenantId, id, limitMicros, now });
        return yield* requireBudget(tenantId, id, now);
      }),
    raise: (input) => engine.write(() => raise(input)),
    remove: ({ tenantId, id }) =>
      engine.write(function* () {
        yield* run(REMOVE_RAISES, { tenantId, id });
        if ((yield* run(REMOVE, { tenantId, id })) === 0) return false;
        yield* run(COUNT_CHANGE);
        return true;
      }),
    version: () =>
      engine.read(function* () {
        const row = yield* get('SELECT version FROM budget_version WHERE id = 1');
        return row === undefined ? 0 : integer(row, 'version');
      }),
    tenants: () =>
      engine.read(function* () {
        return new Set((yield* all('SELECT DISTINCT tenant_id FROM budgets')).map((row) => text(row, 'tenant_id')));
      }),
  };
}

function* create(input: Parameters<BudgetStore['create']>[0]): Query<BudgetRow> {
  const { max, ...row } = input;
  const { tenantId, id, scope, subjectId, period, now } = row;
  const made = yield* get(FIND, { tenantId, id });
  if (made !== undefined) return inPeriod(parseBudget(made), now);
  yield* run(HOLD_CALLS);
  const counted = yield* get(COUNT, { tenantId });
  if (counted !== undefined && integer(counted, 'number') >= max)
    throw new PlatformError('budget_limit_reached', { detail: `There are ${max} budgets, and more are not allowed.` });
  const periodStart = startOf(period, now);
  const sum = yield* get(SPENT, { tenantId, scope, subjectId, periodStart });
  yield* run(INSERT, { ...row, spent: sum === undefined ? 0 : integer(sum, 'spent'), periodStart });
  yield* run(COUNT_CHANGE);
  return yield* requireBudget(tenantId, id, now);
}

function* raise({ tenantId, id, key, amountMicros, now }: Parameters<BudgetStore['raise']>[0]): Query<BudgetRow> {
  yield* holdBudget(tenantId, id);
  if ((yield* run(REMEMBER_RAISE, { tenantId, id, key, amountMicros, now })) > 0) {
    yield* run(RAISE, { tenantId, id, cost: 0, ...starts(now), now });
    yield* run(ADD_RAISE, { tenantId, id, amountMicros });
  }
  return yield* requireBudget(tenantId, id, now);
}

/** Holds every budget that applies, and adds the amount to all of them or to none. */
export function* reserveOn(
  { tenantId, agentId, sessionId }: CallSubject,
  { amountMicros, now }: { readonly amountMicros: number; readonly now: number },
): Query<ReserveResult> {
  const budgets = (yield* all(HOLD, { tenantId, agentId, sessionId })).map((row) => inPeriod(parseBudget(row), now));
  if (budgets.length === 0) return { type: 'free' };
  const reached = budgets.filter((budget) => remainingOf(budget) < amountMicros);
  if (reached.length > 0) return { type: 'reached', budgets: reached };
  const ids = budgets.map(({ id }) => id);
  yield* run(RESERVE, { tenantId, ids: JSON.stringify(ids), cost: 0, amount: amountMicros, ...starts(now) });
  return { type: 'reserved', ids };
}

interface Charge {
  readonly costMicros: number;
  /** What was reserved, on the budgets of `ids`; it is so no more. */
  readonly releasedMicros: number;
  readonly ids: readonly string[];
  readonly now: number;
}

/** Every budget that applies by now is charged, also one that was made after the call began. */
export function* chargeBudgets({ tenantId, agentId, sessionId }: CallSubject, charge: Charge): Query<void> {
  const subject = { tenantId, agentId, sessionId, ids: JSON.stringify(charge.ids) };
  yield* run(HOLD_CHARGED, subject);
  yield* run(CHARGE, { ...subject, cost: charge.costMicros, released: charge.releasedMicros, ...starts(charge.now) });
}

export function remainingOf({ limitMicros, raisedMicros, spentMicros, reservedMicros }: BudgetRow): number {
  return limitMicros + raisedMicros - spentMicros - reservedMicros;
}

function* holdBudget(tenantId: string, id: string): Query<void> {
  if ((yield* get(HOLD_ONE, { tenantId, id })) === undefined) throw new PlatformError('budget_not_found');
}

function* requireBudget(tenantId: string, id: string, now: number): Query<BudgetRow> {
  const row = yield* get(FIND, { tenantId, id });
  invariant(row !== undefined, 'a budget that was just written exists');
  return inPeriod(parseBudget(row), now);
}

function starts(now: number): { readonly day: number; readonly month: number } {
  return { day: dayStart(now), month: monthStart(now) };
}

function startOf(period: BudgetPeriod, now: number): number {
  return period === 'day' ? dayStart(now) : period === 'month' ? monthStart(now) : 0;
}

/** As the next write will find it: nothing is spent yet in a period that has just begun. */
function inPeriod(budget: BudgetRow, now: number): BudgetRow {
  const periodStart = startOf(budget.period, now);
  return budget.periodStart >= periodStart ? budget : { ...budget, spentMicros: 0, raisedMicros: 0, periodStart };
}

function parseBudget(row: Row): BudgetRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    scope: oneOf<BudgetScope>(row, 'scope', BUDGET_SCOPES),
    subjectId: text(row, 'subject_id'),
    period: oneOf<BudgetPeriod>(row, 'period', BUDGET_PERIODS),
    limitMicros: integer(row, 'limit_micros'),
    raisedMicros: integer(row, 'raised_micros'),
    spentMicros: integer(row, 'spent_micros'),
    reservedMicros: integer(row, 'reserved_micros'),
    periodStart: integer(row, 'period_start'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  };
}
