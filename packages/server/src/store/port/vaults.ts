import type { JsonObject } from '../../base/json.ts';
import type { Page, PageInput } from './common.ts';

export const CREDENTIAL_KINDS = ['provider_key', 'http', 'static_bearer', 'mcp_oauth'] as const;
export type CredentialKind = (typeof CREDENTIAL_KINDS)[number];

export interface VaultRow {
  readonly id: string;
  readonly tenantId: string;
  readonly displayName: string;
  readonly metadata: JsonObject;
  /** Every session of the tenant may use it. */
  readonly isDefault: boolean;
  /** The agents whose sessions may use it. */
  readonly agentIds: readonly string[];
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly archivedAt: number | null;
}

export interface CredentialRow {
  readonly id: string;
  readonly tenantId: string;
  readonly vaultId: string;
  readonly kind: CredentialKind;
  /** What it is looked up by: the provider, the name, or the server's URL. */
  readonly target: string;
  readonly displayName: string | null;
  readonly metadata: JsonObject;
  /** Everything about it that is no secret. */
  readonly auth: JsonObject;
  /** Null once it is archived. */
  readonly sealed: string | null;
  /** Grows with each new secret; part of what that is sealed with. */
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly archivedAt: number | null;
}

/** Whose word a credential is; the first of these that has one wins. */
export const CREDENTIAL_SCOPES = ['session', 'agent', 'tenant'] as const;
export type CredentialScope = (typeof CREDENTIAL_SCOPES)[number];

export interface FoundCredential {
  readonly credential: CredentialRow;
  readonly scope: CredentialScope;
}

export interface CredentialSearch {
  readonly tenantId: string;
  /** Null for what has none yet: only the agent's and the tenant's are then found. */
  readonly sessionId: string | null;
  readonly agentId: string | null;
  readonly kinds: readonly CredentialKind[];
}

/** Vaults and what is in them. Secrets come in sealed and go out sealed. */
export interface VaultStore {
  /** One that has the id already is returned as it is. Throws `vault_limit_reached`. */
  create(input: {
    tenantId: string;
    id: string;
    displayName: string;
    metadata: JsonObject;
    isDefault: boolean;
    agentIds: readonly string[];
    max: number;
    now: number;
  }): Promise<VaultRow>;
  find(input: { tenantId: string; id: string }): Promise<VaultRow | undefined>;
  list(input: { tenantId: string; includeArchived: boolean } & PageInput): Promise<Page<VaultRow>>;
  /** Replaces what is given. Throws `vault_not_found` and `vault_archived`. */
  update(input: {
    tenantId: string;
    id: string;
    displayName?: string | undefined;
    metadata?: JsonObject | undefined;
    isDefault?: boolean | undefined;
    agentIds?: readonly string[] | undefined;
    now: number;
  }): Promise<VaultRow>;
  /** Archives its credentials too, whose secrets are gone then. Throws `vault_not_found`. */
  archive(input: { tenantId: string; id: string; now: number }): Promise<VaultRow>;
  /** With its credentials; false when there was none. */
  remove(input: { tenantId: string; id: string }): Promise<boolean>;

  /** One that has the id already is returned as it is. Throws `vault_not_found`, `vault_archived`, `credential_exists`, `credential_limit_reached`. */
  createCredential(
    input: Omit<CredentialRow, 'version' | 'createdAt' | 'updatedAt' | 'archivedAt' | 'sealed'> & {
      sealed: string;
      max: number;
      now: number;
    },
  ): Promise<CredentialRow>;
  findCredential(input: { tenantId: string; vaultId: string; id: string }): Promise<CredentialRow | undefined>;
  listCredentials(input: { tenantId: string; vaultId: string; includeArchived: boolean } & PageInput): Promise<Page<CredentialRow>>;
  /** Replaces what is given, if it still is of that version; undefined when it is not. Throws `credential_not_found` and `credential_archived`. */
  updateCredential(input: {
    tenantId: string;
    vaultId: string;
    id: string;
    /** The version that is there; a new secret makes the next. */
    version: number;
    displayName?: string | null | undefined;
    metadata?: JsonObject | undefined;
    auth?: JsonObject | undefined;
    sealed?: string | undefined;
    now: number;
  }): Promise<CredentialRow | undefined>;
  /** The secret is gone from then on. Throws `credential_not_found`. */
  archiveCredential(input: { tenantId: string; vaultId: string; id: string; now: number }): Promise<CredentialRow>;
  removeCredential(input: { tenantId: string; vaultId: string; id: string }): Promise<boolean>;

  /** What a session may use, of these kinds and for this target; the session's own first, in the order of its vaults. */
  search(input: CredentialSearch & { target: string }): Promise<readonly FoundCredential[]>;
  /** The targets that anything of the tenant's has credentials of the kind for. */
  targets(input: { tenantId: string; kind: CredentialKind }): Promise<readonly string[]>;
  /** Whether the tenant may use the operator's own provider keys; it may unless somebody said no. */
  mayUseManagedKeys(input: { tenantId: string }): Promise<boolean>;
  setManagedKeys(input: { tenantId: string; isAllowed: boolean; now: number }): Promise<void>;
}
