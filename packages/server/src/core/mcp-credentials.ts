/** What goes into requests to an MCP server instead of anything the sandbox says about who it is. */
export interface McpCredential {
  /** In lower case, such as `authorization`. */
  readonly header: string;
  /** The header's whole value. */
  readonly value: string;
  /** The forms of the secret that are taken out of answers. */
  readonly secrets: readonly string[];
}

/** Where the gateway gets the credential of an MCP server from; a session decides which ones are its. */
export interface McpCredentials {
  /** Undefined when the session has none for the server: it is then spoken to without one. */
  find(input: { readonly tenantId: string; readonly sessionId: string; readonly serverUrl: string }): Promise<McpCredential | undefined>;
}
