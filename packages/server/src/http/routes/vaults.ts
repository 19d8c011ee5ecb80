import {
  credentialCreateSchema,
  credentialDeletedSchema,
  credentialSchema,
  credentialTestSchema,
  credentialUpdateSchema,
  credentialValidationSchema,
  pageOf,
  vaultCreateSchema,
  vaultDeletedSchema,
  vaultListQuerySchema,
  vaultSchema,
  vaultUpdateSchema,
} from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'Vaults';
const MISSING = ['vault_not_found'] as const;
const CREDENTIAL_MISSING = [...MISSING, 'credential_not_found'] as const;
const REFUSED = ['secret_weak', 'capability_unsupported', 'encryption_key_missing'] as const;

export function vaultRoutes(table: RouteTable): void {
  resourceRoutes(table);
  closingRoutes(table);
  credentialRoutes(table);
  credentialClosingRoutes(table);
}

const listInput = (query: { limit: number; page?: string | undefined; include_archived?: boolean | undefined }) => {
  const { limit, page, include_archived: includeArchived = false } = query;
  return { limit, page, includeArchived, order: 'desc' as const };
};

function resourceRoutes(table: RouteTable): void {
  const { vaults } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/vaults',
      operationId: 'createVault',
      summary: 'Create a vault, which credentials are kept in',
      tag,
      body: vaultCreateSchema,
      response: vaultSchema,
      problems: ['agent_not_found', 'vault_limit_reached'],
    },
    ({ tenantId, body, reservation }) => vaults.create(tenantId, body, reservation.idFor('vault')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/vaults',
      operationId: 'listVaults',
      summary: 'List vaults',
      tag,
      query: vaultListQuerySchema,
      response: pageOf(vaultSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query }) => toPage(await vaults.list(tenantId, listInput(query))),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/vaults/{id}',
      operationId: 'getVault',
      summary: 'Get a vault',
      tag,
      response: vaultSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => vaults.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/vaults/{id}',
      operationId: 'updateVault',
      summary: 'Change a vault, and who may use it',
      tag,
      body: vaultUpdateSchema,
      response: vaultSchema,
      problems: [...MISSING, 'vault_archived', 'agent_not_found'],
    },
    ({ tenantId, body, param }) => vaults.update(tenantId, param('id'), body),
  );
}

function closingRoutes(table: RouteTable): void {
  const { vaults } = table.deps;
  route(
    table,
    {
      method: 'delete',
      path: '/v1/vaults/{id}',
      operationId: 'deleteVault',
      summary: 'Delete a vault with its credentials',
      tag,
      response: vaultDeletedSchema,
      problems: MISSING,
    },
    async ({ tenantId, param }) => {
      await vaults.remove(tenantId, param('id'));
      return { id: param('id'), type: 'vault_deleted' as const };
    },
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/vaults/{id}/archive',
      operationId: 'archiveVault',
      summary: 'Archive a vault; the secrets in it are gone then',
      tag,
      response: vaultSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => vaults.archive(tenantId, param('id')),
  );
}

const ONE = '/v1/vaults/{id}/credentials/{credential_id}';

function credentialRoutes(table: RouteTable): void {
  const { credentials } = table.deps.vaults;
  route(
    table,
    {
      method: 'post',
      path: '/v1/vaults/{id}/credentials',
      operationId: 'createVaultCredential',
      summary: 'Put a credential into a vault; no answer ever shows its secret',
      tag,
      body: credentialCreateSchema,
      response: credentialSchema,
      problems: [...MISSING, ...REFUSED, 'vault_archived', 'credential_exists', 'credential_limit_reached'],
    },
    ({ tenantId, body, param, reservation }) => credentials.create(tenantId, param('id'), body, reservation.idFor('credential')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/vaults/{id}/credentials',
      operationId: 'listVaultCredentials',
      summary: 'List the credentials of a vault, without their secrets',
      tag,
      query: vaultListQuerySchema,
      response: pageOf(credentialSchema),
      problems: [...MISSING, 'cursor_invalid'],
    },
    async ({ tenantId, query, param }) => toPage(await credentials.list(tenantId, param('id'), listInput(query))),
  );
  route(
    table,
    {
      method: 'get',
      path: ONE,
      operationId: 'getVaultCredential',
      summary: 'Get a credential, without its secret',
      tag,
      response: credentialSchema,
      problems: CREDENTIAL_MISSING,
    },
    ({ tenantId, param }) => credentials.get(tenantId, param('id'), param('credential_id')),
  );
  route(
    table,
    {
      method: 'post',
      path: ONE,
      operationId: 'updateVaultCredential',
      summary: 'Change a credential or its secret; the next call is made with it',
      tag,
      body: credentialUpdateSchema,
      response: credentialSchema,
      problems: [...CREDENTIAL_MISSING, ...REFUSED, 'credential_archived'],
    },
    ({ tenantId, body, param }) => credentials.update(tenantId, param('id'), param('credential_id'), body),
  );
}

function credentialClosingRoutes(table: RouteTable): void {
  const { credentials } = table.deps.vaults;
  route(
    table,
    {
      method: 'delete',
      path: ONE,
      operationId: 'deleteVaultCredential',
      summary: 'Delete a credential',
      tag,
      response: credentialDeletedSchema,
      problems: CREDENTIAL_MISSING,
    },
    async ({ tenantId, param }) => {
      await credentials.remove(tenantId, param('id'), param('credential_id'));
      return { id: param('credential_id'), type: 'vault_credential_deleted' as const };
    },
  );
  route(
    table,
    {
      method: 'post',
      path: `${ONE}/archive`,
      operationId: 'archiveVaultCredential',
      summary: 'Archive a credential; its secret is gone then',
      tag,
      response: credentialSchema,
      problems: CREDENTIAL_MISSING,
    },
    ({ tenantId, param }) => credentials.archive(tenantId, param('id'), param('credential_id')),
  );
  route(
    table,
    {
      method: 'post',
      path: `${ONE}/test`,
      operationId: 'testVaultCredential',
      summary: "Ask a provider key's provider whether it takes the key, by its list of models",
      tag,
      response: credentialTestSchema,
      problems: [...CREDENTIAL_MISSING, 'credential_archived', 'capability_unsupported', 'encryption_key_missing', 'secret_unreadable'],
    },
    ({ tenantId, param }) => credentials.test(tenantId, param('id'), param('credential_id')),
  );
  route(
    table,
    {
      method: 'post',
      path: `${ONE}/mcp_oauth_validate`,
      operationId: 'validateVaultCredential',
      summary: 'Ask the MCP server of an OAuth credential whether it takes the token, which is refreshed if not',
      tag,
      response: credentialValidationSchema,
      problems: [...CREDENTIAL_MISSING, 'credential_archived', 'capability_unsupported', 'encryption_key_missing', 'secret_unreadable'],
    },
    ({ tenantId, param }) => credentials.validate(tenantId, param('id'), param('credential_id')),
  );
}
