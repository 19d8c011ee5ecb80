import { PlatformError } from '../../base/errors.ts';
import type { VaultRow } from '../store.ts';
import { getAs, type Query, type Row, type Sql } from './query.ts';
import { integer, json, optionalInteger, stringList, text } from './rows.ts';

export const SELECT_VAULT = 'SELECT * FROM vaults';
export const FIND_VAULT = `${SELECT_VAULT} WHERE tenant_id = :tenantId AND id = :id`;
const HOLD: Sql = ({ forUpdate }) => `${FIND_VAULT} ${forUpdate()}`;

export interface VaultKey {
  readonly tenantId: string;
  readonly id: string;
}

/** As it is until the transaction ends. */
export function* holdVault({ tenantId, id }: VaultKey): Query<VaultRow> {
  const vault = yield* getAs(parseVault, HOLD, { tenantId, id });
  if (vault === undefined) throw new PlatformError('vault_not_found');
  return vault;
}

export function parseVault(row: Row): VaultRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    displayName: text(row, 'display_name'),
    metadata: json(row, 'metadata'),
    isDefault: integer(row, 'is_default') === 1,
    agentIds: stringList(row, 'agent_ids'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
    archivedAt: optionalInteger(row, 'archived_at'),
  };
}
