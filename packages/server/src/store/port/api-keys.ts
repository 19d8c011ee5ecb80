export interface ApiKeyRow {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly role: 'admin';
  /** SHA-256 of the key, hex. */
  readonly hash: string;
  readonly createdAt: number;
}

export interface ApiKeyStore {
  /** Inserts the key, or leaves the row with the same hash as it is. */
  ensure(input: { id: string; tenantId: string; name: string; role: 'admin'; hash: string; now: number }): Promise<void>;
  /** By SHA-256 of the key, hex. */
  findByHash(input: { hash: string }): Promise<ApiKeyRow | undefined>;
}
