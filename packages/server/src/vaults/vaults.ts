import type {
  CredentialCreate,
  CredentialTest,
  CredentialUpdate,
  CredentialValidation,
  Vault,
  VaultCreate,
  VaultCredential,
  VaultUpdate,
} from '@cloister/api';
import { mapPage, requireAgent } from '../agents/agents.ts';
import { patchMetadata } from '../agents/definition.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { JsonObject } from '../base/json.ts';
import { rememberSecret } from '../base/redaction/redaction.ts';
import { aadOf, type Sealer } from '../core/sealing.ts';
import type { CredentialRow, Page, PageInput, Store, VaultRow } from '../store/store.ts';
import { mergeAuth, parseAuth, toWireAuth } from './auth.ts';
import { openSecret } from './envelope.ts';
import type { KeyTest } from './key-test.ts';
import type { OauthValidation } from './oauth-validation.ts';

type ListInput = PageInput & { readonly includeArchived: boolean };

/** Use cases of vaults. Secrets go in and are never told again; ids of other tenants are as missing ones. */
export interface Vaults {
  create(tenantId: string, body: VaultCreate, id?: string): Promise<Vault>;
  get(tenantId: string, id: string): Promise<Vault>;
  list(tenantId: string, input: ListInput): Promise<Page<Vault>>;
  update(tenantId: string, id: string, body: VaultUpdate): Promise<Vault>;
  archive(tenantId: string, id: string): Promise<Vault>;
  remove(tenantId: string, id: string): Promise<void>;
  readonly credentials: Credentials;
}

export interface Credentials {
  create(tenantId: string, vaultId: string, body: CredentialCreate, id?: string): Promise<VaultCredential>;
  get(tenantId: string, vaultId: string, id: string): Promise<VaultCredential>;
  list(tenantId: string, vaultId: string, input: ListInput): Promise<Page<VaultCredential>>;
  /** A new secret holds for the next call that is made with it. */
  update(tenantId: string, vaultId: string, id: string, body: CredentialUpdate): Promise<VaultCredential>;
  archive(tenantId: string, vaultId: string, id: string): Promise<VaultCredential>;
  remove(tenantId: string, vaultId: string, id: string): Promise<void>;
  /** Asks the provider whether it takes the key. */
  test(tenantId: string, vaultId: string, id: string): Promise<CredentialTest>;
  /** Asks the MCP server whether it takes the token. */
  validate(tenantId: string, vaultId: string, id: string): Promise<CredentialValidation>;
}

export interface VaultsDeps {
  readonly store: Pick<Store, 'vaults' | 'agents'>;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly testKey: KeyTest;
  readonly validateToken: OauthValidation;
}

const MAX_VAULTS = 10_000;
const MAX_CREDENTIALS = 100;
const RETRIES = 3;

export function createVaults(deps: VaultsDeps): Vaults {
  const { store, clock } = deps;
  return {
    async create(tenantId, body, id = newId('vault')) {
      await requireAgents(deps, tenantId, body.agent_ids ?? []);
      const { display_name: displayName, metadata = {}, default: isDefault = false, agent_ids: agentIds = [] } = body;
      const input = { tenantId, id, displayName, metadata, isDefault, agentIds: [...new Set(agentIds)] };
      return toVault(await store.vaults.create({ ...input, max: MAX_VAULTS, now: clock.now() }));
    },
    get: async (tenantId, id) => toVault(await requireVault(store, tenantId, id)),
    list: async (tenantId, input) => mapPage(await store.vaults.list({ tenantId, ...input }), toVault),
    async update(tenantId, id, body) {
      const current = await requireVault(store, tenantId, id);
      await requireAgents(deps, tenantId, body.agent_ids ?? []);
      const row = await store.vaults.update({
        tenantId,
        id,
        displayName: body.display_name ?? undefined,
        metadata: body.metadata ? patchMetadata(texts(current.metadata), body.metadata) : undefined,
        isDefault: body.default,
        agentIds: body.agent_ids && [...new Set(body.agent_ids)],
        now: clock.now(),
      });
      return toVault(row);
    },
    async archive(tenantId, id) {
      await requireVault(store, tenantId, id);
      return toVault(await store.vaults.archive({ tenantId, id, now: clock.now() }));
    },
    async remove(tenantId, id) {
      if (!(await store.vaults.remove({ tenantId, id }))) throw vaultNotFound(id);
    },
    credentials: createCredentials(deps),
  };
}

function createCredentials(deps: VaultsDeps): Credentials {
  const { store, sealer, clock, testKey, validateToken } = deps;
  const seal = (secret: string, row: Pick<CredentialRow, 'tenantId' | 'id' | 'version'>) => {
    rememberSecret(secret);
    return sealer.seal(secret, credentialAad(row));
  };
  return {
    async create(tenantId, vaultId, body, id = newId('credential')) {
      await requireVault(store, tenantId, vaultId);
      const { secret, ...parsed } = parseAuth(body.auth, clock.now());
      const row = await store.vaults.createCredential({
        ...parsed,
        tenantId,
        vaultId,
        id,
        displayName: body.display_name ?? null,
        metadata: body.metadata ?? {},
        sealed: seal(secret, { tenantId, id, version: 1 }),
        max: MAX_CREDENTIALS,
        now: clock.now(),
      });
      return toCredential(row);
    },
    get: async (tenantId, vaultId, id) => toCredential(await requireCredential(store, tenantId, vaultId, id)),
    async list(tenantId, vaultId, input) {
      await requireVault(store, tenantId, vaultId);
      return mapPage(await store.vaults.listCredentials({ tenantId, vaultId, ...input }), toCredential);
    },
    async update(tenantId, vaultId, id, body) {
      for (let tries = 0; tries < RETRIES; tries++) {
        const current = await requireCredential(store, tenantId, vaultId, id);
        if (current.archivedAt !== null) throw new PlatformError('credential_archived');
        const merged =
          body.auth && mergeAuth(current, body.auth, clock.now(), () => openSecret(sealer, current.sealed ?? '', credentialAad(current)));
        const next = { tenantId, id, version: current.version + 1 };
        const row = await store.vaults.updateCredential({
          tenantId,
          vaultId,
          id,
          version: current.version,
          displayName: body.display_name,
          metadata: body.metadata ? patchMetadata(texts(current.metadata), body.metadata) : undefined,
          auth: merged?.auth,
          sealed: merged?.secret === undefined ? undefined : seal(merged.secret, next),
          now: clock.now(),
        });
        if (row !== undefined) return toCredential(row);
      }
      throw new PlatformError('store_unavailable', { detail: 'Others changed the credential at the same time.' });
    },
    async archive(tenantId, vaultId, id) {
      await requireCredential(store, tenantId, vaultId, id);
      return toCredential(await store.vaults.archiveCredential({ tenantId, vaultId, id, now: clock.now() }));
    },
    async remove(tenantId, vaultId, id) {
      await requireVault(store, tenantId, vaultId);
      if (!(await store.vaults.removeCredential({ tenantId, vaultId, id }))) throw credentialNotFound(id);
    },
    async test(tenantId, vaultId, id) {
      const row = await requireCredential(store, tenantId, vaultId, id);
      if (row.archivedAt !== null) throw new PlatformError('credential_archived');
      return { type: 'credential_test', credential_id: id, ...(await testKey(row)) };
    },
    validate: async (tenantId, vaultId, id) => validateToken(await requireCredential(store, tenantId, vaultId, id)),
  };
}

/** What a credential's secret is sealed with: it opens in its own row only, and only in the version it was set in. */
export function credentialAad({ tenantId, id, version }: Pick<CredentialRow, 'tenantId' | 'id' | 'version'>): string {
  return aadOf(tenantId, id, version);
}

/** Throws as for missing ones. */
export async function requireUsableVaults(store: Pick<Store, 'vaults'>, tenantId: string, ids: readonly string[]): Promise<void> {
  for (const id of ids) if ((await requireVault(store, tenantId, id)).archivedAt !== null) throw new PlatformError('vault_archived');
}

async function requireVault(store: Pick<Store, 'vaults'>, tenantId: string, id: string): Promise<VaultRow> {
  const row = await store.vaults.find({ tenantId, id });
  if (row === undefined) throw vaultNotFound(id);
  return row;
}

async function requireCredential(store: Pick<Store, 'vaults'>, tenantId: string, vaultId: string, id: string): Promise<CredentialRow> {
  await requireVault(store, tenantId, vaultId);
  const row = await store.vaults.findCredential({ tenantId, vaultId, id });
  if (row === undefined) throw credentialNotFound(id);
  return row;
}

async function requireAgents({ store }: VaultsDeps, tenantId: string, ids: readonly string[]): Promise<void> {
  for (const id of ids) await requireAgent(store.agents, tenantId, id);
}

function vaultNotFound(id: string): PlatformError {
  return new PlatformError('vault_not_found', { detail: `There is no vault "${id.slice(0, 80)}".` });
}

function credentialNotFound(id: string): PlatformError {
  return new PlatformError('credential_not_found', { detail: `The vault has no credential "${id.slice(0, 80)}".` });
}

function toVault(row: VaultRow): Vault {
  return {
    id: row.id,
    type: 'vault',
    display_name: row.displayName,
    metadata: texts(row.metadata),
    default: row.isDefault,
    agent_ids: [...row.agentIds],
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
    archived_at: row.archivedAt === null ? null : toTimestamp(row.archivedAt),
  };
}

function toCredential(row: CredentialRow): VaultCredential {
  return {
    id: row.id,
    type: 'vault_credential',
    vault_id: row.vaultId,
    display_name: row.displayName,
    auth: toWireAuth(row),
    metadata: texts(row.metadata),
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
    archived_at: row.archivedAt === null ? null : toTimestamp(row.archivedAt),
  };
}

function texts(metadata: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
