import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Role } from '../core/access.ts';
import type { Store } from '../store/store.ts';
import { DEFAULT_TENANT } from './bootstrap.ts';

const PAGE = 100;

/**
 * Takes a key from the environment in, for the tenant `default`. The one that the same variable held before counts no
 * more; without a value nothing changes. Throws `config_invalid` for a key that was replaced or revoked before.
 */
export async function ensureEnvironmentKey(deps: {
  readonly store: Pick<Store, 'apiKeys'>;
  readonly clock: Clock;
  /** The variable, which is the key's name too. */
  readonly name: string;
  readonly role: Role;
  readonly key: string | undefined;
  readonly hash: (key: string) => string;
}): Promise<void> {
  const { store, clock, name, role, key } = deps;
  if (key === undefined) return;
  const hash = deps.hash(key);
  const now = clock.now();
  await store.apiKeys.ensure({ id: newId('apiKey'), tenantId: DEFAULT_TENANT, name, role, hash, now });
  const own = await store.apiKeys.findByHash({ hash });
  if (own === undefined || own.revokedAt !== null)
    throw new PlatformError('config_invalid', { detail: `${name}: this key was replaced or revoked before; choose another one.` });
  let page: string | undefined;
  do {
    const next = await store.apiKeys.list({ tenantId: DEFAULT_TENANT, includeRevoked: false, limit: PAGE, order: 'asc', page });
    for (const one of next.data)
      if (one.name === name && one.createdBy === 'system' && one.hash !== hash)
        await store.apiKeys.revoke({ tenantId: DEFAULT_TENANT, id: one.id, now });
    page = next.next ?? undefined;
  } while (page !== undefined);
}
