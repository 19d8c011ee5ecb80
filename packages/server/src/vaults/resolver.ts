import { PlatformError } from '../base/errors.ts';
import { type InjectedCredential, injectedCredential } from '../core/injected-credential.ts';
import { isProvider, type Provider } from '../core/model.ts';
import { authOf, baseUrlOf, type ProviderConfig } from '../core/provider-config.ts';
import type { Sealer } from '../core/sealing.ts';
import type { CredentialAsker, CredentialSource, ProviderSource } from '../egress/gateway.ts';
import type { CredentialRow, Store } from '../store/store.ts';
import { httpAuth, serverKey, textOrNull } from './auth.ts';
import { openSecret } from './envelope.ts';
import { refreshOf, unpackTokens } from './oauth-tokens.ts';
import type { TokenRefresh } from './token-refresh.ts';
import { credentialAad } from './vaults.ts';

export interface McpCredential {
  readonly credentialId: string;
  /** For `Authorization: Bearer …`. */
  readonly token: string;
  /** Another token after the server has refused this one. Of a token that is never another there is none. */
  readonly renew?: (() => Promise<string>) | undefined;
}

/**
 * Which credential holds for a call: read anew for each, so that a change holds at once, on every server. The session's
 * vaults come first, then those of its agent, then the tenant's own, and last what the operator has for all.
 */
export interface CredentialResolver extends ProviderSource {
  readonly http: CredentialSource;
  /** The token for an MCP server, by its URL; undefined when there is none, or it has run out for good. */
  mcp(asker: CredentialAsker & { readonly url: string }): Promise<McpCredential | undefined>;
  /** The providers that something of the tenant's, or the operator's, has a key for. */
  providersOf(tenantId: string): Promise<ReadonlySet<Provider>>;
}

export interface ResolverDeps {
  readonly store: Pick<Store, 'vaults'>;
  readonly sealer: Sealer;
  readonly managed: ReadonlyMap<Provider, ProviderConfig>;
  /** What the operator's own file has for hosts. */
  readonly httpFallback: CredentialSource;
  readonly now: () => number;
  /** Left out, what has run out is not used any more. */
  readonly accessToken?: TokenRefresh | undefined;
}

export function createCredentialResolver({ store, sealer, managed, httpFallback, now, accessToken }: ResolverDeps): CredentialResolver {
  return {
    async find({ provider, ...asker }) {
      const [own] = await store.vaults.search({ ...asker, kinds: ['provider_key'], target: provider });
      if (own !== undefined) return { config: providerConfigOf(own.credential, sealer), owner: own.scope };
      const config = managed.get(provider);
      if (config === undefined) return undefined;
      if (await store.vaults.mayUseManagedKeys({ tenantId: asker.tenantId })) return { config, owner: 'managed' };
      throw new PlatformError('managed_keys_refused', {
        detail: `The operator's key for ${provider} is not for this tenant, and none of its vaults has one.`,
      });
    },
    http: {
      async find(asked) {
        const { tenantId, name, sessionId, agentId } = asked;
        const found = await store.vaults.search({ tenantId, sessionId, agentId, kinds: ['http'], target: name });
        for (const { credential } of found) {
          if (asked.covers(httpAuth(credential.auth).hosts)) return injectedOf(credential, sealer);
        }
        return httpFallback.find(asked);
      },
    },
    async mcp({ url, ...asker }) {
      const found = await store.vaults.search({ ...asker, kinds: ['static_bearer', 'mcp_oauth'], target: serverKey(url) });
      const isRenewed = (row: CredentialRow) => accessToken !== undefined && refreshOf(row.auth) !== undefined;
      const usable = found.find(({ credential }) => isRenewed(credential) || !isOver(credential, now()))?.credential;
      if (usable === undefined) return undefined;
      if (accessToken === undefined || !isRenewed(usable))
        return { credentialId: usable.id, token: unpackTokens(usable.auth, secretOf(usable, sealer)).accessToken };
      const token = await accessToken(usable);
      return { credentialId: usable.id, token, renew: () => accessToken(usable, { refused: token }) };
    },
    async providersOf(tenantId) {
      const own = (await store.vaults.targets({ tenantId, kind: 'provider_key' })).filter(isProvider);
      const isManaged = managed.size > 0 && (await store.vaults.mayUseManagedKeys({ tenantId }));
      return new Set<Provider>([...own, ...(isManaged ? managed.keys() : []), 'demo']);
    },
  };
}

function secretOf(row: CredentialRow, sealer: Sealer): string {
  if (row.sealed === null) throw new PlatformError('credential_archived');
  return openSecret(sealer, row.sealed, credentialAad(row));
}

/** What the tenant named may be anywhere: whoever connects there checks the address. */
export function providerConfigOf(row: CredentialRow, sealer: Sealer): ProviderConfig {
  const provider = isProvider(row.target) ? row.target : 'openai-compatible';
  const key = secretOf(row, sealer);
  return { baseUrl: textOrNull(row.auth.base_url) ?? baseUrlOf(provider) ?? '', auth: key === '' ? undefined : authOf(provider, key) };
}

function injectedOf(row: CredentialRow, sealer: Sealer): InjectedCredential {
  const { header, template } = httpAuth(row.auth);
  return injectedCredential({ header, template, username: textOrNull(row.auth.username), secret: secretOf(row, sealer) });
}

function isOver({ auth }: CredentialRow, now: number): boolean {
  const at = textOrNull(auth.expires_at);
  return at !== null && Date.parse(at) <= now;
}
