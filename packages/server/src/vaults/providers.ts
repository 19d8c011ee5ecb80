import type { ProviderList, ProviderPolicy } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { isProvider, type Provider } from '../core/model.ts';
import type { Store } from '../store/store.ts';

/** Which model providers a tenant has keys for, and whether it may use the operator's. */
export interface Providers {
  list(tenantId: string): Promise<ProviderList>;
  policy(tenantId: string): Promise<ProviderPolicy>;
  setPolicy(tenantId: string, input: { readonly managed_keys: boolean }): Promise<ProviderPolicy>;
}

export interface ProvidersDeps {
  readonly store: Pick<Store, 'vaults'>;
  readonly clock: Clock;
  /** Those that the operator has a key for. */
  readonly managed: readonly Provider[];
}

export function createProviders({ store, clock, managed }: ProvidersDeps): Providers {
  const policy = async (tenantId: string): Promise<ProviderPolicy> => ({
    type: 'provider_policy',
    tenant_id: tenantId,
    managed_keys: await store.vaults.mayUseManagedKeys({ tenantId }),
  });
  return {
    policy,
    async list(tenantId) {
      const own = new Set((await store.vaults.targets({ tenantId, kind: 'provider_key' })).filter(isProvider));
      const { managed_keys: isAllowed } = await policy(tenantId);
      const named = new Set<Provider>([...own, ...(isAllowed ? managed : [])]);
      return {
        data: [...named].map((provider) => ({ provider, own: own.has(provider), managed: isAllowed && managed.includes(provider) })),
      };
    },
    async setPolicy(tenantId, { managed_keys: isAllowed }) {
      await store.vaults.setManagedKeys({ tenantId, isAllowed, now: clock.now() });
      return policy(tenantId);
    },
  };
}
