import type { Tenant, TenantCreate, TenantCreated, TenantUpdate } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId, newSecret } from '../base/ids.ts';
import { type Principal, WHOLE_TENANT } from '../core/access.ts';
import type { AuditAction, AuditSink } from '../core/audit.ts';
import type { Page, PageInput, Store, TenantRow, TenantState } from '../store/store.ts';
import { DEFAULT_TENANT } from './bootstrap.ts';
import { actorOf, hashSecret } from './granting.ts';
import { inviteTo } from './people.ts';

/** Use cases of tenants: for who runs the installation alone. */
export interface Tenants {
  create(principal: Principal, body: TenantCreate, baseUrl: string, id?: string): Promise<TenantCreated>;
  get(id: string): Promise<Tenant>;
  list(input: PageInput & { state?: TenantState | undefined }): Promise<Page<Tenant>>;
  update(principal: Principal, id: string, body: TenantUpdate): Promise<Tenant>;
  /** Nobody of it gets in until it is resumed. */
  suspend(principal: Principal, id: string): Promise<Tenant>;
  resume(principal: Principal, id: string): Promise<Tenant>;
  /** Shuts everybody out at once; what it has is removed from then on, and itself at the end. */
  remove(principal: Principal, id: string): Promise<Tenant>;
}

export interface TenantsDeps {
  readonly store: Pick<Store, 'tenants' | 'users' | 'apiKeys'>;
  readonly clock: Clock;
  readonly audit: AuditSink;
  /** Told that a tenant is to be removed. */
  readonly onRemoval: () => void;
}

const INVITATION_MS = 7 * 24 * 3_600_000;

export function createTenants(deps: TenantsDeps): Tenants {
  const { store, clock, audit } = deps;

  async function change(
    principal: Principal,
    id: string,
    input: { name?: string | undefined; state?: TenantState },
    action: AuditAction = 'tenant.changed',
  ): Promise<Tenant> {
    if (id === DEFAULT_TENANT && input.state !== undefined && input.state !== 'active') throw new PlatformError('tenant_protected');
    const row = await store.tenants.update({ id, ...input, now: clock.now() });
    const detail = { tenant: id, ...(input.state === undefined ? {} : { status: input.state }) };
    await audit.record({ tenantId: principal.tenantId, actor: actorOf(principal), action, subject: id, detail });
    return toTenant(row);
  }

  return {
    async create(principal, body, baseUrl, id = newId('tenant')) {
      const now = clock.now();
      const wanted = body.id ?? id;
      const row = await store.tenants.create({ id: wanted, name: body.name, now });
      // The same try again, after its answer was lost, has the id that was made for it.
      if (row === undefined && wanted !== id) throw new PlatformError('tenant_exists');
      const made = row ?? (await requireTenant(store, wanted));
      const actor = actorOf(principal);
      await audit.record({ tenantId: principal.tenantId, actor, action: 'tenant.created', subject: wanted, detail: { name: body.name } });
      const key = newSecret('apiKey');
      await store.apiKeys.create({
        tenantId: wanted,
        id: newId('apiKey'),
        name: 'owner',
        role: 'owner',
        scope: WHOLE_TENANT,
        hash: hashSecret(key),
        hint: `${key.slice(0, 8)}…${key.slice(-4)}`,
        createdBy: actor,
        expiresAt: null,
        max: Number.MAX_SAFE_INTEGER,
        now,
      });
      const { owner_email: email } = body;
      const invitation = email
        ? await inviteTo(deps, { tenantId: wanted, actor, email, role: 'owner', lastsMs: INVITATION_MS, baseUrl })
        : undefined;
      return { ...toTenant(made), key, link: invitation?.link ?? null };
    },
    get: async (id) => toTenant(await requireTenant(store, id)),
    list: async (input) => mapPage(await store.tenants.list(input), toTenant),
    update: (principal, id, { name }) => change(principal, id, { name }),
    suspend: (principal, id) => change(principal, id, { state: 'suspended' }),
    resume: (principal, id) => change(principal, id, { state: 'active' }),
    async remove(principal, id) {
      const tenant = await change(principal, id, { state: 'deleting' }, 'tenant.removed');
      deps.onRemoval();
      return tenant;
    },
  };
}

async function requireTenant(store: Pick<Store, 'tenants'>, id: string): Promise<TenantRow> {
  const row = await store.tenants.find({ id });
  if (row === undefined) throw new PlatformError('tenant_not_found', { detail: `There is no tenant "${id.slice(0, 80)}".` });
  return row;
}

function toTenant(row: TenantRow): Tenant {
  return {
    id: row.id,
    type: 'tenant',
    name: row.name,
    status: row.state,
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
  };
}
