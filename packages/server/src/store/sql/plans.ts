import { PlatformError } from '../../base/errors.ts';
import { DAY_MS, dayStart, monthStart, nextMonth } from '../../core/periods.ts';
import { planLimitReached } from '../../core/plan-limits.ts';
import { PLAN_LIMITS, type PlanLimit, type PlanLimits, type PlanRow, type PlanStore, type PlanUse, type StorageUse } from '../store.ts';
import type { Engine } from './engine.ts';
import { listPage } from './listing.ts';
import { get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, json, text } from './rows.ts';

const FIND = 'SELECT * FROM plans WHERE id = :id';
const INSERT = `INSERT INTO plans (id, name, limits, sandbox_cap, created_at, updated_at)
  VALUES (:id, :name, :limits, :sandboxCap, :now, :now) ON CONFLICT DO NOTHING`;
const UPDATE = 'UPDATE plans SET name = :name, limits = :limits, sandbox_cap = :sandboxCap, updated_at = :now WHERE id = :id';
const HOLD: Sql = ({ forUpdate }) => `${FIND} ${forUpdate()}`;
const IN_USE = 'SELECT 1 AS found FROM tenant_plans WHERE plan_id = :id LIMIT 1';
const ASSIGN = `INSERT INTO tenant_plans (tenant_id, plan_id, assigned_at) VALUES (:tenantId, :planId, :now)
  ON CONFLICT (tenant_id) DO UPDATE SET plan_id = excluded.plan_id, assigned_at = excluded.assigned_at`;
const OF_TENANT = 'SELECT p.* FROM tenant_plans t JOIN plans p ON p.id = t.plan_id WHERE t.tenant_id = :tenantId';
/** The tenant's row is what creations at one moment go past one after the other. */
const HOLD_OF_TENANT: Sql = ({ forUpdate }) => `${OF_TENANT} ${forUpdate('t')}`;
/** How many turns of the tenant its plan lets work at once, or null. */
export const SANDBOX_CAP_OF = (tenantId: string): string =>
  `(SELECT p.sandbox_cap FROM tenant_plans tp JOIN plans p ON p.id = tp.plan_id WHERE tp.tenant_id = ${tenantId})`;
/** The limits of the tenant's plan, or null: a column for statements that read something else of the tenant. */
export const LIMITS_OF = (tenantId: string): string =>
  `(SELECT p.limits FROM tenant_plans tp JOIN plans p ON p.id = tp.plan_id WHERE tp.tenant_id = ${tenantId})`;
const COUNT_MESSAGES = `INSERT INTO plan_counters (tenant_id, kind, period_start, used) VALUES (:tenantId, :kind, :periodStart, :count)
  ON CONFLICT (tenant_id, kind) DO UPDATE SET
    used = CASE WHEN plan_counters.period_start < :periodStart THEN 0 ELSE plan_counters.used END + :count,
    period_start = CASE WHEN plan_counters.period_start < :periodStart THEN :periodStart ELSE plan_counters.period_start END
  RETURNING used`;
const MESSAGES = 'SELECT used FROM plan_counters WHERE tenant_id = :tenantId AND kind = :kind AND period_start >= :periodStart';
/** Uploads and skills by their bytes, also while they come; memory with its history; what is on the disks as it was measured last. */
const STORED = `SELECT
  (SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM session_storage WHERE tenant_id = :tenantId) AS workspaces,
  (SELECT CAST(coalesce(sum(snapshot_bytes), 0) AS BIGINT) FROM session_storage WHERE tenant_id = :tenantId) AS snapshots,
  (SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM blobs WHERE tenant_id = :tenantId) AS contents,
  (SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM memory_versions WHERE tenant_id = :tenantId) AS memory`;
const HELD = 'SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) AS used FROM storage_holds WHERE tenant_id = :tenantId';
const HOLD_STORAGE = `INSERT INTO storage_holds (tenant_id, id, bytes, expires_at) VALUES (:tenantId, :id, :bytes, :expiresAt)
  ON CONFLICT (tenant_id, id) DO UPDATE SET bytes = storage_holds.bytes + excluded.bytes, expires_at = excluded.expires_at`;
const RELEASE_STORAGE = 'DELETE FROM storage_holds WHERE tenant_id = :tenantId AND id = :id';
const DROP_EXPIRED = 'DELETE FROM storage_holds WHERE tenant_id = :tenantId AND expires_at <= :now';
/** Of what is left; the rest is for others. */
const SHARE = 8;
const COUNTS: Readonly<Record<'agents' | 'sessions' | 'concurrent_sandboxes' | 'storage_bytes' | 'tokens_per_month', string>> = {
  agents: 'SELECT count(*) AS used FROM agents WHERE tenant_id = :tenantId AND archived_at IS NULL',
  sessions: 'SELECT count(*) AS used FROM sessions WHERE tenant_id = :tenantId AND archived_at IS NULL',
  concurrent_sandboxes: `SELECT count(*) AS used FROM turns WHERE tenant_id = :tenantId AND state = 'running'`,
  storage_bytes: `SELECT CAST(s.workspaces + s.snapshots + s.contents + s.memory AS BIGINT) AS used FROM (${STORED}) s`,
  tokens_per_month: `SELECT CAST(coalesce(sum(input_tokens + output_tokens + cache_read_tokens + cache_creation_tokens), 0) AS BIGINT) AS used
    FROM usage_days WHERE tenant_id = :tenantId AND day >= :since`,
};
const MEASURE = `INSERT INTO session_storage (tenant_id, session_id, bytes, snapshot_bytes, measured_at)
  SELECT s.tenant_id, s.id, :bytes, :snapshotBytes, :now FROM sessions s WHERE s.tenant_id = :tenantId AND s.id = :sessionId
  ON CONFLICT (tenant_id, session_id) DO UPDATE SET
    bytes = excluded.bytes, snapshot_bytes = excluded.snapshot_bytes, measured_at = excluded.measured_at`;

export function createPlanStore(engine: Engine): PlanStore {
  return {
    create: ({ id, name, limits, now }) =>
      engine.write(function* () {
        yield* run(INSERT, { id, name, ...limitColumns(limits), now });
        return yield* requirePlan(FIND, id);
      }),
    find: ({ id }) => engine.read(() => getAs(parsePlan, FIND, { id })),
    list: (input) =>
      engine.read(() =>
        listPage(
          {
            scope: ['plans'],
            select: 'SELECT * FROM plans',
            filters: { conditions: ['1 = 1'], params: {} },
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parsePlan,
          },
          input,
        ),
      ),
    update: ({ id, name, limits, now }) =>
      engine.write(function* () {
        const plan = yield* requirePlan(HOLD, id);
        yield* run(UPDATE, { id, name: name ?? plan.name, ...limitColumns(limits ?? plan.limits), now });
        return yield* requirePlan(FIND, id);
      }),
    remove: ({ id }) =>
      engine.write(function* () {
        if ((yield* get(HOLD, { id })) === undefined) return false;
        if ((yield* get(IN_USE, { id })) !== undefined) throw new PlatformError('plan_in_use');
        return (yield* run('DELETE FROM plans WHERE id = :id', { id })) > 0;
      }),
    async assign({ tenantId, planId, now }) {
      await engine.write(function* () {
        if (planId === null) return void (yield* run('DELETE FROM tenant_plans WHERE tenant_id = :tenantId', { tenantId }));
        yield* requirePlan(FIND, planId);
        yield* run(ASSIGN, { tenantId, planId, now });
      });
    },
    ofTenant: ({ tenantId }) => engine.read(() => getAs(parsePlan, OF_TENANT, { tenantId })),
    use: ({ tenantId, now }) => engine.read(() => useOf(tenantId, now)),
    async measure(input) {
      await engine.write(() => run(MEASURE, input));
    },
    stored: ({ tenantId }) => engine.read(() => getStored(tenantId)),
    reserve: (input) => engine.write(() => reserve(input)),
    async release(input) {
      await engine.write(() => run(RELEASE_STORAGE, input));
    },
  };
}

/**
 * Throws `plan_limit_reached` when the row that was just inserted is one too many; nothing of it is then kept. Holds the
 * tenant's plan, so that creations at once count each other.
 */
export function* requireRoom(tenantId: string, limit: 'agents' | 'sessions'): Query<void> {
  const plan = yield* getAs(parsePlan, HOLD_OF_TENANT, { tenantId });
  const max = plan?.limits[limit];
  if (max !== undefined) {
    const used = yield* countOf(limit, tenantId, 0);
    if (used > max) throw planLimitReached({ limit, used: used - 1, max });
  }
  const limitOfStorage = plan?.limits.storage_bytes;
  if (limit !== 'sessions' || limitOfStorage === undefined) return;
  const used = yield* countOf('storage_bytes', tenantId, 0);
  if (used >= limitOfStorage) throw planLimitReached({ limit: 'storage_bytes', used, max: limitOfStorage });
}

/**
 * Throws `plan_limit_reached` when the tenant's storage is used up, or with `isKept` when what the same commit keeps is
 * too much; nothing of it is then kept. What others hold counts as used. Holds the tenant's plan.
 */
export function* requireStorage(tenantId: string, { isKept }: { readonly isKept: boolean }): Query<void> {
  const max = (yield* getAs(parsePlan, HOLD_OF_TENANT, { tenantId }))?.limits.storage_bytes;
  if (max === undefined) return;
  const used = yield* takenStorage(tenantId);
  if (isKept ? used > max : used >= max) throw planLimitReached({ limit: 'storage_bytes', used, max });
}

/** What a server held that has died is free again. */
export function* dropExpiredHolds(tenantId: string, now: number): Query<void> {
  yield* run(DROP_EXPIRED, { tenantId, now });
}

function* takenStorage(tenantId: string): Query<number> {
  const held = yield* get(HELD, { tenantId });
  return (yield* countOf('storage_bytes', tenantId, 0)) + (held === undefined ? 0 : integer(held, 'used'));
}

function* reserve({ tenantId, id, bytes, atLeast, now, expiresAt }: Parameters<PlanStore['reserve']>[0]): Query<number | undefined> {
  const max = (yield* getAs(parsePlan, HOLD_OF_TENANT, { tenantId }))?.limits.storage_bytes;
  if (max === undefined) return undefined;
  yield* dropExpiredHolds(tenantId, now);
  const used = yield* takenStorage(tenantId);
  const left = max - used;
  if (left < atLeast) throw planLimitReached({ limit: 'storage_bytes', used, max });
  const granted = Math.max(atLeast, Math.min(bytes, Math.floor(left / SHARE)));
  yield* run(HOLD_STORAGE, { tenantId, id, bytes: granted, expiresAt });
  return granted;
}

function* getStored(tenantId: string): Query<StorageUse> {
  const row = yield* get(STORED, { tenantId });
  const of = (name: string) => (row === undefined ? 0 : integer(row, name));
  return { workspaces: of('workspaces'), snapshots: of('snapshots'), contents: of('contents'), memory: of('memory') };
}

/** Counts the messages in, and throws `plan_limit_reached` when they are too many; the caller's commit takes both or none. */
export function* takeMessages(tenantId: string, limits: PlanLimits, count: number, now: number): Query<void> {
  for (const kind of ['messages_per_day', 'messages_per_month'] as const) {
    const max = limits[kind];
    if (max === undefined) continue;
    const row = yield* get(COUNT_MESSAGES, { tenantId, kind, periodStart: periodOf(kind, now), count });
    const used = row === undefined ? 0 : integer(row, 'used');
    if (used > max) throw reached({ limit: kind, used: used - count, max }, renewsIn(kind, now));
  }
  for (const name of ['tokens_per_month', 'storage_bytes'] as const) {
    const max = limits[name];
    if (max === undefined) continue;
    const used = yield* countOf(name, tenantId, now);
    if (used >= max) throw reached({ limit: name, used, max }, name === 'storage_bytes' ? undefined : renewsIn('tokens_per_month', now));
  }
}

export function parseLimits(value: unknown): PlanLimits {
  if (typeof value !== 'object' || value === null) return {};
  const given = new Map<string, unknown>(Object.entries(value));
  return Object.fromEntries(
    PLAN_LIMITS.flatMap((name): [PlanLimit, number][] => {
      const max = given.get(name);
      return typeof max === 'number' ? [[name, max]] : [];
    }),
  );
}

function reached({ limit, used, max }: { limit: PlanLimit; used: number; max: number }, retryAfterMs?: number): PlatformError {
  if (retryAfterMs === undefined) return planLimitReached({ limit, used, max });
  const detail = `The plan allows ${max} of ${limit}, and ${used} are used.`;
  const fields = [{ pointer: limit, message: `used ${used} of ${max}` }];
  return new PlatformError('plan_quota_used_up', { detail, fields, retryAfterMs });
}

function renewsIn(kind: 'messages_per_day' | 'messages_per_month' | 'tokens_per_month', now: number): number {
  return (kind === 'messages_per_day' ? dayStart(now) + DAY_MS : nextMonth(now)) - now;
}

function periodOf(kind: 'messages_per_day' | 'messages_per_month', now: number): number {
  return kind === 'messages_per_day' ? dayStart(now) : monthStart(now);
}

function limitColumns(limits: PlanLimits): { readonly limits: string; readonly sandboxCap: number | null } {
  return { limits: JSON.stringify(limits), sandboxCap: limits.concurrent_sandboxes ?? null };
}

function* countOf(name: keyof typeof COUNTS, tenantId: string, now: number): Query<number> {
  const row = yield* get(COUNTS[name], name === 'tokens_per_month' ? { tenantId, since: monthStart(now) } : { tenantId });
  return row === undefined ? 0 : integer(row, 'used');
}

function* messagesOf(kind: 'messages_per_day' | 'messages_per_month', tenantId: string, now: number): Query<number> {
  const row = yield* get(MESSAGES, { tenantId, kind, periodStart: periodOf(kind, now) });
  return row === undefined ? 0 : integer(row, 'used');
}

function* useOf(tenantId: string, now: number): Query<PlanUse> {
  return {
    agents: yield* countOf('agents', tenantId, now),
    sessions: yield* countOf('sessions', tenantId, now),
    concurrent_sandboxes: yield* countOf('concurrent_sandboxes', tenantId, now),
    messages_per_day: yield* messagesOf('messages_per_day', tenantId, now),
    messages_per_month: yield* messagesOf('messages_per_month', tenantId, now),
    tokens_per_month: yield* countOf('tokens_per_month', tenantId, now),
    storage_bytes: yield* countOf('storage_bytes', tenantId, now),
  };
}

function* requirePlan(find: Sql, id: string): Query<PlanRow> {
  const plan = yield* getAs(parsePlan, find, { id });
  if (plan === undefined) throw new PlatformError('plan_not_found');
  return plan;
}

function parsePlan(row: Row): PlanRow {
  return {
    id: text(row, 'id'),
    name: text(row, 'name'),
    limits: parseLimits(json(row, 'limits')),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  };
}
