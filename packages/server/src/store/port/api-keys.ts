import type { KeyScope, Role } from '../../core/access.ts';
import type { Page, PageInput } from './common.ts';
import type { TenantState } from './tenants.ts';

export interface ApiKeyRow {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly role: Role;
  readonly scope: KeyScope;
  /** The key of who runs the installation. */
  readonly isOperator: boolean;
  /** SHA-256 of the key, hex. */
  readonly hash: string;
  /** How the key begins and ends, to tell it by. */
  readonly hint: string;
  /** `key:<id>`, `user:<id>`, or `system`. */
  readonly createdBy: string;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  /** To the minute; null when it never was. */
  readonly lastUsedAt: number | null;
}

/** A key as a request shows it: with what decides whether it counts. */
export interface PresentedKey extends ApiKeyRow {
  readonly tenantState: TenantState;
}

interface KeyId {
  readonly tenantId: string;
  readonly id: string;
}

export interface ApiKeyStore {
  /** Inserts the key for the whole tenant, or leaves the row with the same hash as it is. A tenant that is not there yet is made. */
  ensure(input: {
    id: string;
    tenantId: string;
    name: string;
    role: Role;
    isOperator?: boolean | undefined;
    hash: string;
    now: number;
  }): Promise<void>;
  /** By SHA-256 of the key, hex; also one that is revoked or over. */
  findByHash(input: { hash: string }): Promise<PresentedKey | undefined>;
  /** One that has the id already is returned as it is. Throws `api_key_limit_reached` when `max` keys of the tenant count. */
  create(
    input: Omit<ApiKeyRow, 'isOperator' | 'createdAt' | 'revokedAt' | 'lastUsedAt'> & { max: number; now: number },
  ): Promise<ApiKeyRow>;
  find(input: KeyId): Promise<ApiKeyRow | undefined>;
  list(input: { tenantId: string; includeRevoked: boolean } & PageInput): Promise<Page<ApiKeyRow>>;
  /** Replaces what is given. Throws `api_key_not_found`. */
  update(input: KeyId & { name?: string | undefined; role?: Role | undefined }): Promise<ApiKeyRow>;
  /** From its commit on the key counts no more, on any server. A repeat changes nothing. Throws `api_key_not_found`. */
  revoke(input: KeyId & { now: number }): Promise<ApiKeyRow>;
  /** Notes the use, unless a later one is noted. */
  touch(input: KeyId & { now: number }): Promise<void>;
}
