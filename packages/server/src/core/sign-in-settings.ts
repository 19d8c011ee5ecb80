/** How people sign in. */
export interface SignInSettings {
  /** Where browsers reach the installation, such as `https://agents.example.org`; undefined takes it from each request. */
  readonly publicUrl: string | undefined;
  readonly passwords: boolean;
  /** How long a sign-in lasts. */
  readonly signInMs: number;
  readonly oidc: OidcSettings | undefined;
}

export interface OidcSettings {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string | undefined;
  /** What the button says. */
  readonly name: string;
  /** The tenant of everybody who comes this way, unless a claim names it. */
  readonly tenant: string;
  readonly tenantClaim: string | undefined;
  /** Who has a verified address in one of these needs no invitation. Empty for invited and known people only. */
  readonly allowedDomains: readonly string[];
  /** The role of who needs no invitation. */
  readonly role: 'viewer' | 'member' | 'admin';
}
