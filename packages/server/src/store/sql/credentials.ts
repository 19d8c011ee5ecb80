import { invariant, PlatformError } from '../../base/errors.ts';
import {
  CREDENTIAL_KINDS,
  CREDENTIAL_SCOPES,
  type CredentialRow,
  type CredentialScope,
  type FoundCredential,
  type VaultStore,
} from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { all, allAs, get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, json, oneOf, optionalInteger, optionalText, stringList, text } from './rows.ts';
import { holdVault } from './vault-rows.ts';

const SELECT = 'SELECT * FROM vault_credentials';
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND vault_id = :vaultId AND id = :id`;
const HOLD: Sql = ({ forUpdate }) => `${FIND} ${forUpdate()}`;
const COUNT = 'SELECT count(*) AS number FROM vault_credentials WHERE tenant_id = :tenantId AND vault_id = :vaultId';
const SAME = `SELECT id FROM vault_credentials
  WHERE tenant_id = :tenantId AND vault_id = :vaultId AND kind = :kind AND target = :target AND archived_at IS NULL`;
const INSERT = `INSERT INTO vault_credentials
    (tenant_id, id, vault_id, kind, target, display_name, metadata, auth, sealed, version, created_at, updated_at)
  VALUES (:tenantId, :id, :vaultId, :kind, :target, :displayName, :metadata, :auth, :sealed, 1, :now, :now)`;
const UPDATE = `UPDATE vault_credentials SET display_name = :displayName, metadata = :metadata, auth = :auth, sealed = :sealed,
    version = :version, updated_at = :now WHERE tenant_id = :tenantId AND vault_id = :vaultId AND id = :id`;
const ARCHIVE = `UPDATE vault_credentials SET archived_at = :now, updated_at = :now, sealed = NULL
  WHERE tenant_id = :tenantId AND vault_id = :vaultId AND id = :id AND archived_at IS NULL`;
const REMOVE = 'DELETE FROM vault_credentials WHERE tenant_id = :tenantId AND vault_id = :vaultId AND id = :id';

const OF_SESSION = 'SELECT vault_ids FROM sessions WHERE tenant_id = :tenantId AND id = :sessionId';
const OF_OTHERS = `SELECT vault_id, 'agent' AS scope FROM vault_agents WHERE tenant_id = :tenantId AND agent_id = :agentId
  UNION ALL SELECT id AS vault_id, 'tenant' AS scope FROM vaults WHERE tenant_id = :tenantId AND is_default = 1 AND archived_at IS NULL`;
const USABLE: Sql = ({ listOf }) => `SELECT c.* FROM vault_credentials c JOIN vaults v ON v.tenant_id = c.tenant_id AND v.id = c.vault_id
  WHERE c.tenant_id = :tenantId AND c.target = :target AND c.kind IN ${listOf('kinds')} AND c.vault_id IN ${listOf('vaults')}
    AND c.archived_at IS NULL AND v.archived_at IS NULL ORDER BY c.created_at, c.id`;
const TARGETS = `SELECT DISTINCT target FROM vault_credentials WHERE tenant_id = :tenantId AND kind = :kind AND archived_at IS NULL`;
const MANAGED = 'SELECT managed_keys FROM provider_policies WHERE tenant_id = :tenantId';
const SET_MANAGED = `INSERT INTO provider_policies (tenant_id, managed_keys, updated_at) VALUES (:tenantId, :managed, :now)
  ON CONFLICT (tenant_id) DO UPDATE SET managed_keys = excluded.managed_keys, updated_at = excluded.updated_at`;

type CredentialStore = Omit<VaultStore, 'create' | 'find' | 'list' | 'update' | 'archive' | 'remove'>;
type SearchInput = Parameters<VaultStore['search']>[0];

interface CredentialKey {
  readonly tenantId: string;
  readonly vaultId: string;
  readonly id: string;
}

export function createCredentialStore(engine: Engine): CredentialStore {
  return {
    createCredential: (input) => engine.write(() => create(input)),
    findCredential: ({ tenantId, vaultId, id }) => engine.read(() => getAs(parseCredential, FIND, { tenantId, vaultId, id })),
    listCredentials: ({ tenantId, vaultId, includeArchived, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['credentials', tenantId, vaultId],
            select: SELECT,
            filters: filtersOf({ tenantId, vaultId }, [
              'tenant_id = :tenantId',
              'vault_id = :vaultId',
              includeArchived ? undefined : 'archived_at IS NULL',
            ]),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseCredential,
          },
          input,
        ),
      ),
    updateCredential: (input) => engine.write(() => update(input)),
    archiveCredential: ({ now, ...key }) =>
      engine.write(function* () {
        yield* run(ARCHIVE, { ...keyOf(key), now });
        return yield* requireCredential(key);
      }),
    removeCredential: (key) =>
      engine.write(function* () {
        return (yield* run(REMOVE, keyOf(key))) > 0;
      }),
    search: (input) => engine.read(() => search(input)),
    targets: ({ tenantId, kind }) =>
      engine.read(function* () {
        return (yield* all(TARGETS, { tenantId, kind })).map((row) => text(row, 'target'));
      }),
    mayUseManagedKeys: ({ tenantId }) =>
      engine.read(function* () {
        const row = yield* get(MANAGED, { tenantId });
        return row === undefined || integer(row, 'managed_keys') === 1;
      }),
    async setManagedKeys({ tenantId, isAllowed, now }) {
      await engine.write(() => run(SET_MANAGED, { tenantId, managed: isAllowed ? 1 : 0, now }));
    },
  };
}

const keyOf = ({ tenantId, vaultId, id }: CredentialKey) => ({ tenantId, vaultId, id });

function* create({ max, now, ...input }: Parameters<VaultStore['createCredential']>[0]): Query<CredentialRow> {
  const { tenantId, vaultId, id, kind, target, displayName, metadata, auth, sealed } = input;
  const existing = yield* getAs(parseCredential, FIND, { tenantId, vaultId, id });
  if (existing !== undefined) return existing;
  // Held, so that two cannot both be the last that there is room for, or the first for the same target.
  if ((yield* holdVault({ tenantId, id: vaultId })).archivedAt !== null) throw new PlatformError('vault_archived');
  if ((yield* get(SAME, { tenantId, vaultId, kind, target })) !== undefined)
    throw new PlatformError('credential_exists', { detail: `The vault has a credential for ${target} already.` });
  const counted = yield* get(COUNT, { tenantId, vaultId });
  if (counted !== undefined && integer(counted, 'number') >= max)
    throw new PlatformError('credential_limit_reached', { detail: `The vault has ${max} credentials, and more are not allowed.` });
  const texts = { metadata: JSON.stringify(metadata), auth: JSON.stringify(auth) };
  yield* run(INSERT, { tenantId, vaultId, id, kind, target, displayName, sealed, now, ...texts });
  return yield* requireCredential(input);
}

function* update({ version, now, ...input }: Parameters<VaultStore['updateCredential']>[0]): Query<CredentialRow | undefined> {
  const current = yield* getAs(parseCredential, HOLD, keyOf(input));
  if (current === undefined) throw new PlatformError('credential_not_found');
  if (current.archivedAt !== null) throw new PlatformError('credential_archived');
  if (current.version !== version) return undefined;
  yield* run(UPDATE, {
    ...keyOf(input),
    now,
    displayName: input.displayName === undefined ? current.displayName : input.displayName,
    metadata: JSON.stringify(input.metadata ?? current.metadata),
    auth: JSON.stringify(input.auth ?? current.auth),
    sealed: input.sealed ?? current.sealed,
    version: input.sealed === undefined ? version : version + 1,
  });
  return yield* requireCredential(input);
}

function* search({ tenantId, sessionId, agentId, kinds, target }: SearchInput): Query<readonly FoundCredential[]> {
  const scopes = new Map<string, CredentialScope>();
  const session = sessionId === null ? undefined : yield* get(OF_SESSION, { tenantId, sessionId });
  if (session !== undefined) for (const id of stringList(session, 'vault_ids')) scopes.set(id, 'session');
  // No agent has the empty id.
  for (const row of yield* all(OF_OTHERS, { tenantId, agentId: agentId ?? '' })) {
    const id = text(row, 'vault_id');
    const scope = oneOf(row, 'scope', CREDENTIAL_SCOPES);
    if (!scopes.has(id) || scope === 'agent') scopes.set(id, scopes.get(id) === 'session' ? 'session' : scope);
  }
  if (scopes.size === 0) return [];
  const lists = { kinds: JSON.stringify(kinds), vaults: JSON.stringify([...scopes.keys()]) };
  const rows = yield* allAs(parseCredential, USABLE, { tenantId, target, ...lists });
  const vaults = [...scopes.keys()];
  const found = rows.map((credential) => ({ credential, scope: scopes.get(credential.vaultId) ?? 'tenant' }));
  const rank = ({ credential, scope }: FoundCredential) =>
    CREDENTIAL_SCOPES.indexOf(scope) * (vaults.length + 1) + (scope === 'session' ? vaults.indexOf(credential.vaultId) : 0);
  return found.toSorted((a, b) => rank(a) - rank(b));
}

function* requireCredential(key: CredentialKey): Query<CredentialRow> {
  const credential = yield* getAs(parseCredential, FIND, keyOf(key));
  if (credential === undefined) throw new PlatformError('credential_not_found');
  return credential;
}

function parseCredential(row: Row): CredentialRow {
  const sealed = optionalText(row, 'sealed');
  const archivedAt = optionalInteger(row, 'archived_at');
  invariant((sealed === null) === (archivedAt !== null), 'a credential has its secret until it is archived');
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    vaultId: text(row, 'vault_id'),
    kind: oneOf(row, 'kind', CREDENTIAL_KINDS),
    target: text(row, 'target'),
    displayName: optionalText(row, 'display_name'),
    metadata: json(row, 'metadata'),
    auth: json(row, 'auth'),
    sealed,
    version: integer(row, 'version'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
    archivedAt,
  };
}
