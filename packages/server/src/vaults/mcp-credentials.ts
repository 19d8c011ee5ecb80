import { type InjectedCredential, injectedCredential } from '../core/injected-credential.ts';
import type { McpCredentials } from '../core/mcp-credentials.ts';
import type { CredentialResolver } from './resolver.ts';

/** What a vault has for a server's URL goes into its requests as a bearer. */
export function createMcpCredentials(keys: Pick<CredentialResolver, 'mcp'>): McpCredentials {
  return {
    async find({ serverUrl: url, ...asker }) {
      const found = await keys.mcp({ ...asker, url });
      if (found === undefined) return undefined;
      const { renew } = found;
      return { ...bearer(found.token), ...(renew === undefined ? {} : { renew: async () => bearer(await renew()) }) };
    },
  };
}

function bearer(secret: string): InjectedCredential {
  return injectedCredential({ header: 'authorization', template: 'Bearer {secret}', username: null, secret });
}
