/** Where sealed texts are kept. */
export const SEALED_TABLES = ['vault_credentials', 'webhooks', 'services', 'requests', 'turn_callbacks'] as const;
export type SealedTable = (typeof SEALED_TABLES)[number];

export interface SealedRow {
  readonly tenantId: string;
  readonly id: string;
  /** One sealed text, or a text with some in it. */
  readonly text: string;
}

export interface EncryptionKeyRow {
  readonly id: string;
  readonly isCurrent: boolean;
  readonly createdAt: number;
}

/** Which keys secrets are sealed with, and the way over all of them. The keys themselves are never here. */
export interface SealedStore {
  keys(): Promise<readonly EncryptionKeyRow[]>;
  /** Makes the key the current one unless there is one already; returns which that is. */
  adopt(input: { id: string; now: number }): Promise<string>;
  makeCurrent(input: { id: string; now: number }): Promise<void>;
  /** False when it is the current one, or not known. */
  forget(input: { id: string }): Promise<boolean>;
  /** Rows of all tenants, in the order of tenant and id, after a place. */
  page(input: {
    table: SealedTable;
    after: { readonly tenantId: string; readonly id: string };
    limit: number;
  }): Promise<readonly SealedRow[]>;
  /** Only if the row still holds `from`. */
  replace(input: { table: SealedTable; tenantId: string; id: string; from: string; to: string }): Promise<boolean>;
}
