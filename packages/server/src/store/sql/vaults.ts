import { invariant, PlatformError } from '../../base/errors.ts';
import type { VaultRow, VaultStore } from '../store.ts';
import { createCredentialStore } from './credentials.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { get, getAs, type Query, run } from './query.ts';
import { integer } from './rows.ts';
import { FIND_VAULT, holdVault, parseVault, SELECT_VAULT, type VaultKey } from './vault-rows.ts';

const COUNT = 'SELECT count(*) AS number FROM vaults WHERE tenant_id = :tenantId';
const INSERT = `INSERT INTO vaults (tenant_id, id, display_name, metadata, is_default, agent_ids, created_at, updated_at)
  VALUES (:tenantId, :id, :displayName, :metadata, :isDefault, :agentIds, :now, :now)`;
const UPDATE = `UPDATE vaults SET display_name = :displayName, metadata = :metadata, is_default = :isDefault, agent_ids = :agentIds,
    updated_at = :now WHERE tenant_id = :tenantId AND id = :id`;
const LINK = 'INSERT INTO vault_agents (tenant_id, agent_id, vault_id) VALUES (:tenantId, :agentId, :id)';
const UNLINK = 'DELETE FROM vault_agents WHERE tenant_id = :tenantId AND vault_id = :id';
const ARCHIVE = 'UPDATE vaults SET archived_at = :now, updated_at = :now WHERE tenant_id = :tenantId AND id = :id';
const ARCHIVE_CREDENTIALS = `UPDATE vault_credentials SET archived_at = :now, updated_at = :now, sealed = NULL
  WHERE tenant_id = :tenantId AND vault_id = :id AND archived_at IS NULL`;
const REMOVE_CREDENTIALS = 'DELETE FROM vault_credentials WHERE tenant_id = :tenantId AND vault_id = :id';
const REMOVE = 'DELETE FROM vaults WHERE tenant_id = :tenantId AND id = :id';

export function createVaultStore(engine: Engine): VaultStore {
  return {
    ...createCredentialStore(engine),
    create: (input) => engine.write(() => create(input)),
    find: ({ tenantId, id }) => engine.read(() => getAs(parseVault, FIND_VAULT, { tenantId, id })),
    list: ({ tenantId, includeArchived, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['vaults', tenantId],
            select: SELECT_VAULT,
            filters: filtersOf({ tenantId }, ['tenant_id = :tenantId', includeArchived ? undefined : 'archived_at IS NULL']),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseVault,
          },
          input,
        ),
      ),
    update: (input) => engine.write(() => update(input)),
    archive: ({ tenantId, id, now }) =>
      engine.write(function* () {
        const vault = yield* holdVault({ tenantId, id });
        if (vault.archivedAt !== null) return vault;
        yield* run(ARCHIVE_CREDENTIALS, { tenantId, id, now });
        yield* run(ARCHIVE, { tenantId, id, now });
        return yield* requireVault({ tenantId, id });
      }),
    remove: ({ tenantId, id }) =>
      engine.write(function* () {
        for (const sql of [UNLINK, REMOVE_CREDENTIALS]) yield* run(sql, { tenantId, id });
        return (yield* run(REMOVE, { tenantId, id })) > 0;
      }),
  };
}

function* create({ max, ...input }: Parameters<VaultStore['create']>[0]): Query<VaultRow> {
  const { tenantId, id, displayName, metadata, isDefault, agentIds, now } = input;
  const existing = yield* getAs(parseVault, FIND_VAULT, { tenantId, id });
  if (existing !== undefined) return existing;
  const counted = yield* get(COUNT, { tenantId });
  if (counted !== undefined && integer(counted, 'number') >= max)
    throw new PlatformError('vault_limit_reached', { detail: `There are ${max} vaults, and more are not allowed.` });
  const texts = { metadata: JSON.stringify(metadata), agentIds: JSON.stringify(agentIds), isDefault: isDefault ? 1 : 0 };
  yield* run(INSERT, { tenantId, id, displayName, now, ...texts });
  yield* link({ tenantId, id }, agentIds);
  return yield* requireVault({ tenantId, id });
}

function* update({ tenantId, id, now, ...input }: Parameters<VaultStore['update']>[0]): Query<VaultRow> {
  const current = yield* holdVault({ tenantId, id });
  if (current.archivedAt !== null) throw new PlatformError('vault_archived');
  const agentIds = input.agentIds ?? current.agentIds;
  yield* run(UPDATE, {
    tenantId,
    id,
    now,
    displayName: input.displayName ?? current.displayName,
    metadata: JSON.stringify(input.metadata ?? current.metadata),
    isDefault: (input.isDefault ?? current.isDefault) ? 1 : 0,
    agentIds: JSON.stringify(agentIds),
  });
  yield* run(UNLINK, { tenantId, id });
  yield* link({ tenantId, id }, agentIds);
  return yield* requireVault({ tenantId, id });
}

function* link({ tenantId, id }: VaultKey, agentIds: readonly string[]): Query<void> {
  for (const agentId of new Set(agentIds)) yield* run(LINK, { tenantId, id, agentId });
}

function* requireVault({ tenantId, id }: VaultKey): Query<VaultRow> {
  const vault = yield* getAs(parseVault, FIND_VAULT, { tenantId, id });
  invariant(vault !== undefined, 'a vault that was just written exists');
  return vault;
}
