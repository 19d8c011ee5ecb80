import type { Page, PageInput } from './common.ts';

/** `deleting`: nobody gets in any more, and what the tenant has is being removed. */
export const TENANT_STATES = ['active', 'suspended', 'deleting'] as const;
export type TenantState = (typeof TENANT_STATES)[number];

export interface TenantRow {
  readonly id: string;
  readonly name: string;
  readonly state: TenantState;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** The tenants of the installation. Their ids are not secret to the operator, and nobody else asks here. */
export interface TenantStore {
  /** Undefined when there is one with that id. */
  create(input: { id: string; name: string; now: number }): Promise<TenantRow | undefined>;
  find(input: { id: string }): Promise<TenantRow | undefined>;
  list(input: { state?: TenantState | undefined } & PageInput): Promise<Page<TenantRow>>;
  /** Replaces what is given; one that is being deleted stays so. Throws `tenant_not_found`. */
  update(input: { id: string; name?: string | undefined; state?: TenantState | undefined; now: number }): Promise<TenantRow>;
  /**
   * Removes rows of a tenant that is being deleted, from whatever table has a tenant, `limit` at most in one commit and
   * children first; answers how many. 0 says that nothing is left, and the tenant itself is gone.
   */
  purge(input: { id: string; limit: number }): Promise<number>;
}
