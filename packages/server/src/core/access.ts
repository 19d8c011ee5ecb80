/** What somebody may do in a tenant; each role may all that those before it may. */
export const ROLES = ['viewer', 'member', 'admin', 'owner'] as const;
export type Role = (typeof ROLES)[number];

/**
 * What part of the tenant a key reaches: all of it, one agent with its sessions, or some groups of routes. A key that
 * reaches a part only never manages keys and people, whatever its role.
 */
export type KeyScope =
  | { readonly type: 'tenant' }
  | { readonly type: 'agent'; readonly agentId: string }
  | { readonly type: 'routes'; readonly groups: readonly string[] };

export const WHOLE_TENANT: KeyScope = { type: 'tenant' };

/** Who makes a request. The tenant comes from the credential, never from what the request says. */
export interface Principal {
  readonly kind: 'key' | 'user';
  /** The key's id or the person's: whom limits count and the audit names. */
  readonly id: string;
  readonly keyId?: string;
  readonly userId?: string;
  readonly tenantId: string;
  readonly role: Role;
  readonly scope: KeyScope;
  /** Runs the installation: may see and change all tenants. */
  readonly isOperator: boolean;
}

export function isAtLeast(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}
