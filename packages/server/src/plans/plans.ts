import type { Plan, PlanCreate, PlanUpdate, TenantPlan } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { actingNow } from '../audit/acting.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { AuditSink } from '../core/audit.ts';
import { type Page, type PageInput, PLAN_LIMITS, type PlanLimit, type PlanLimits, type PlanRow, type Store } from '../store/store.ts';

/** Use cases of plans, which are the installation's. Who may call them is decided before. */
export interface Plans {
  /** With `id`, the plan is the one of that id, made now or by an earlier try. */
  create(tenantId: string, body: PlanCreate, id?: string): Promise<Plan>;
  get(id: string): Promise<Plan>;
  list(input: PageInput): Promise<Page<Plan>>;
  update(tenantId: string, id: string, body: PlanUpdate): Promise<Plan>;
  remove(tenantId: string, id: string): Promise<void>;
  ofTenant(tenantId: string): Promise<TenantPlan>;
  /** The same for a tenant that has to exist. */
  ofNamedTenant(tenantId: string): Promise<TenantPlan>;
  assign(tenantId: string, planId: string | null): Promise<TenantPlan>;
}

export interface PlansDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly audit: AuditSink;
}

export function createPlans({ store, clock, audit }: PlansDeps): Plans {
  const tell = (tenantId: string, subject: string, detail: Readonly<Record<string, string>>) =>
    audit.record({ tenantId, actor: actingNow(), action: 'plan.changed', subject, detail });

  async function requireTenant(id: string): Promise<void> {
    if ((await store.tenants.find({ id })) === undefined)
      throw new PlatformError('tenant_not_found', { detail: `There is no tenant "${id.slice(0, 80)}".` });
  }

  async function ofTenant(tenantId: string): Promise<TenantPlan> {
    const row = await store.plans.ofTenant({ tenantId });
    const used = await store.plans.use({ tenantId, now: clock.now() });
    const stored = await store.plans.stored({ tenantId });
    return {
      type: 'tenant_plan',
      tenant_id: tenantId,
      plan: row === undefined ? null : toPlan(row),
      used: { ...used },
      stored: { ...stored },
    };
  }

  return {
    async create(tenantId, { name, limits }, id = newId('plan')) {
      const row = await store.plans.create({ id, name, limits: given(limits), now: clock.now() });
      await tell(tenantId, id, { act: 'created' });
      return toPlan(row);
    },
    async get(id) {
      const row = await store.plans.find({ id });
      if (row === undefined) throw planNotFound(id);
      return toPlan(row);
    },
    list: async (input) => mapPage(await store.plans.list(input), toPlan),
    async update(tenantId, id, { name, limits }) {
      const row = await store.plans.update({ id, name, limits: limits === undefined ? undefined : given(limits), now: clock.now() });
      await tell(tenantId, id, { act: 'changed' });
      return toPlan(row);
    },
    async remove(tenantId, id) {
      if (!(await store.plans.remove({ id }))) throw planNotFound(id);
      await tell(tenantId, id, { act: 'removed' });
    },
    ofTenant,
    async ofNamedTenant(tenantId) {
      await requireTenant(tenantId);
      return ofTenant(tenantId);
    },
    async assign(tenantId, planId) {
      await requireTenant(tenantId);
      await store.plans.assign({ tenantId, planId, now: clock.now() });
      await tell(tenantId, planId ?? 'none', { act: 'assigned' });
      return ofTenant(tenantId);
    },
  };
}

function planNotFound(id: string): PlatformError {
  return new PlatformError('plan_not_found', { detail: `There is no plan "${id.slice(0, 80)}".` });
}

/** Without the limits that are none. */
function given(limits: PlanCreate['limits']): PlanLimits {
  return Object.fromEntries(
    PLAN_LIMITS.flatMap((name): [PlanLimit, number][] => {
      const max = limits[name];
      return max === undefined || max === null ? [] : [[name, max]];
    }),
  );
}

function toPlan({ id, name, limits, createdAt, updatedAt }: PlanRow): Plan {
  const { agents, sessions, concurrent_sandboxes, messages_per_day, messages_per_month, tokens_per_month, storage_bytes } = limits;
  return {
    id,
    type: 'plan',
    name,
    limits: {
      agents: agents ?? null,
      sessions: sessions ?? null,
      concurrent_sandboxes: concurrent_sandboxes ?? null,
      messages_per_day: messages_per_day ?? null,
      messages_per_month: messages_per_month ?? null,
      tokens_per_month: tokens_per_month ?? null,
      storage_bytes: storage_bytes ?? null,
    },
    created_at: toTimestamp(createdAt),
    updated_at: toTimestamp(updatedAt),
  };
}
