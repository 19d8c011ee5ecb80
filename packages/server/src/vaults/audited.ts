import { actingNow } from '../audit/acting.ts';
import type { JsonObject } from '../base/json.ts';
import type { AuditAction, AuditSink } from '../core/audit.ts';
import type { Providers } from './providers.ts';
import type { KeyRotation } from './rotation.ts';
import type { Vaults } from './vaults.ts';

type Tell = (tenantId: string, action: AuditAction, subject: string, detail?: JsonObject) => Promise<void>;

async function after<T>(work: Promise<T>, tell: (value: T) => Promise<void>): Promise<T> {
  const value = await work;
  await tell(value);
  return value;
}

/** Vaults that tell the audit what was done: which fields, never what is in them. */
export function auditVaults(vaults: Vaults, audit: AuditSink): Vaults {
  const tell: Tell = (tenantId, action, subject, detail) => audit.record({ tenantId, actor: actingNow(), action, subject, detail });
  const { credentials } = vaults;
  const fields = (body: object): JsonObject => ({ fields: Object.keys(body).sort() });
  return {
    ...vaults,
    create: (tenantId, body, id) =>
      after(vaults.create(tenantId, body, id), (made) => tell(tenantId, 'vault.created', made.id, { name: made.display_name })),
    update: (tenantId, id, body) => after(vaults.update(tenantId, id, body), () => tell(tenantId, 'vault.changed', id, fields(body))),
    archive: (tenantId, id) => after(vaults.archive(tenantId, id), () => tell(tenantId, 'vault.changed', id, { what: 'archived' })),
    remove: (tenantId, id) => after(vaults.remove(tenantId, id), () => tell(tenantId, 'vault.removed', id)),
    credentials: {
      ...credentials,
      create: (tenantId, vaultId, body, id) =>
        after(credentials.create(tenantId, vaultId, body, id), (made) =>
          tell(tenantId, 'credential.created', made.id, { vault: vaultId, type: made.auth.type }),
        ),
      update: (tenantId, vaultId, id, body) =>
        after(credentials.update(tenantId, vaultId, id, body), () =>
          tell(tenantId, 'credential.changed', id, {
            vault: vaultId,
            fields: [...Object.keys(body), ...Object.keys(body.auth ?? {})].sort(),
          }),
        ),
      archive: (tenantId, vaultId, id) =>
        after(credentials.archive(tenantId, vaultId, id), () =>
          tell(tenantId, 'credential.changed', id, { vault: vaultId, what: 'archived' }),
        ),
      remove: (tenantId, vaultId, id) =>
        after(credentials.remove(tenantId, vaultId, id), () => tell(tenantId, 'credential.removed', id, { vault: vaultId })),
      validate: (tenantId, vaultId, id) =>
        after(credentials.validate(tenantId, vaultId, id), ({ status: result }) =>
          tell(tenantId, 'credential.tested', id, { vault: vaultId, result }),
        ),
      test: (tenantId, vaultId, id) =>
        after(credentials.test(tenantId, vaultId, id), ({ result }) => tell(tenantId, 'credential.tested', id, { vault: vaultId, result })),
    },
  };
}

export function auditProviders(providers: Providers, audit: AuditSink): Providers {
  return {
    ...providers,
    setPolicy: (tenantId, input) =>
      after(providers.setPolicy(tenantId, input), () =>
        audit.record({
          tenantId,
          actor: actingNow(),
          action: 'tenant.changed',
          subject: tenantId,
          detail: { managed_keys: input.managed_keys },
        }),
      ),
  };
}

/** What concerns the whole installation is in the chain of the tenant that runs it. */
export function auditKeys(keys: KeyRotation, audit: AuditSink, operatorTenant: string): KeyRotation {
  const tell = (subject: string, detail: JsonObject) =>
    audit.record({ tenantId: operatorTenant, actor: actingNow(), action: 'encryption_key.rotated', subject, detail });
  return {
    ...keys,
    rotate: () => after(keys.rotate(), ({ keyId, isNew }) => tell(keyId, { what: isNew ? 'rotated' : 'resumed' })),
    remove: (id) => after(keys.remove(id), () => tell(id, { what: 'removed' })),
  };
}
