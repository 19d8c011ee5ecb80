import type { Json, PageOf, Query } from './client-calls.ts';
import type {
  CredentialCreate,
  CredentialTest,
  CredentialUpdate,
  CredentialValidation,
  EncryptionKeyInfo,
  KeyRotationStarted,
  ProviderList,
  ProviderPolicy,
  Vault,
  VaultCreate,
  VaultCredential,
  VaultUpdate,
} from './wire/vaults.ts';

/** Vaults and what is in them. No answer ever shows a secret. */
export function vaultsOf(json: Json) {
  const vault = (id: string) => `/v1/vaults/${encodeURIComponent(id)}`;
  const credential = (id: string, one: string) => `${vault(id)}/credentials/${encodeURIComponent(one)}`;
  return {
    list: (query: Query = {}) => json<PageOf<Vault>>('GET', '/v1/vaults', { query }),
    get: (id: string) => json<Vault>('GET', vault(id)),
    create: (body: VaultCreate) => json<Vault>('POST', '/v1/vaults', { body }),
    update: (id: string, body: VaultUpdate) => json<Vault>('POST', vault(id), { body }),
    archive: (id: string) => json<Vault>('POST', `${vault(id)}/archive`),
    remove: (id: string) => json<{ id: string }>('DELETE', vault(id)),
    credentials: {
      list: (id: string, query: Query = {}) => json<PageOf<VaultCredential>>('GET', `${vault(id)}/credentials`, { query }),
      get: (id: string, one: string) => json<VaultCredential>('GET', credential(id, one)),
      create: (id: string, body: CredentialCreate) => json<VaultCredential>('POST', `${vault(id)}/credentials`, { body }),
      update: (id: string, one: string, body: CredentialUpdate) => json<VaultCredential>('POST', credential(id, one), { body }),
      archive: (id: string, one: string) => json<VaultCredential>('POST', `${credential(id, one)}/archive`),
      remove: (id: string, one: string) => json<{ id: string }>('DELETE', credential(id, one)),
      test: (id: string, one: string) => json<CredentialTest>('POST', `${credential(id, one)}/test`),
      validate: (id: string, one: string) => json<CredentialValidation>('POST', `${credential(id, one)}/mcp_oauth_validate`),
    },
  };
}

/** The keys that secrets are sealed with, and whose keys models are called with. */
export function keysOf(json: Json) {
  const policy = (tenant: string) => `/v1/tenants/${encodeURIComponent(tenant)}/provider_policy`;
  return {
    encryptionKeys: {
      list: () => json<{ readonly data: readonly EncryptionKeyInfo[] }>('GET', '/v1/encryption_keys'),
      rotate: () => json<KeyRotationStarted>('POST', '/v1/encryption_keys/rotate'),
      remove: (id: string) => json<{ id: string }>('DELETE', `/v1/encryption_keys/${encodeURIComponent(id)}`),
    },
    providers: {
      list: () => json<ProviderList>('GET', '/v1/providers'),
      policy: (tenant: string) => json<ProviderPolicy>('GET', policy(tenant)),
      setPolicy: (tenant: string, body: { readonly managed_keys: boolean }) => json<ProviderPolicy>('POST', policy(tenant), { body }),
    },
  };
}
