import type { InjectedCredential } from './injected-credential.ts';

/** Where the gateway gets the credential of an MCP server from. Asked for each request, so that a change holds for the next. */
export interface McpCredentials {
  /** Undefined when the session has none for the server: it is then spoken to without one. */
  find(input: {
    readonly tenantId: string;
    readonly sessionId: string | null;
    readonly agentId: string | null;
    readonly serverUrl: string;
  }): Promise<RenewableCredential | undefined>;
}

export interface RenewableCredential extends InjectedCredential {
  /** Another one, after the server has answered that this one is not good. Throws when there is none. */
  readonly renew?: (() => Promise<InjectedCredential>) | undefined;
}
