import { invariant, PlatformError } from '../../base/errors.ts';
import { type KeyScope, ROLES, WHOLE_TENANT } from '../../core/access.ts';
import { type ApiKeyRow, type ApiKeyStore, type PresentedKey, TENANT_STATES } from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { get, getAs, type Query, type Row, run } from './query.ts';
import { integer, json, oneOf, optionalInteger, stringList, text } from './rows.ts';
import { holdTenant } from './tenants.ts';

const ENSURE_TENANT = `INSERT INTO tenants (id, name, created_at, updated_at) VALUES (:tenantId, :tenantId, :now, :now)
  ON CONFLICT (id) DO NOTHING`;
const ENSURE = `INSERT INTO api_keys (tenant_id, id, name, role, scope, is_operator, hash, hint, created_by, created_at)
  VALUES (:tenantId, :id, :name, :role, :scope, :isOperator, :hash, '', 'system', :now) ON CONFLICT (hash) DO NOTHING`;
const INSERT = `INSERT INTO api_keys (tenant_id, id, name, role, scope, hash, hint, created_by, created_at, expires_at)
  VALUES (:tenantId, :id, :name, :role, :scope, :hash, :hint, :createdBy, :now, :expiresAt)`;
const SELECT = 'SELECT * FROM api_keys';
const PRESENTED = `SELECT k.*, t.state AS tenant_state FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.hash = :hash`;
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND id = :id`;
const COUNT = `SELECT count(*) AS number FROM api_keys
  WHERE tenant_id = :tenantId AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)`;
const UPDATE = 'UPDATE api_keys SET name = :name, role = :role WHERE tenant_id = :tenantId AND id = :id';
const REVOKE = 'UPDATE api_keys SET revoked_at = :now WHERE tenant_id = :tenantId AND id = :id AND revoked_at IS NULL';
const TOUCH = `UPDATE api_keys SET last_used_at = :now
  WHERE tenant_id = :tenantId AND id = :id AND (last_used_at IS NULL OR last_used_at < :now)`;

interface KeyId {
  readonly tenantId: string;
  readonly id: string;
}

export function createApiKeyStore(engine: Engine): ApiKeyStore {
  return {
    async ensure({ tenantId, id, name, role, hash, isOperator, now }) {
      await engine.write(function* () {
        yield* run(ENSURE_TENANT, { tenantId, now });
        const scope = JSON.stringify(WHOLE_TENANT);
        return yield* run(ENSURE, { tenantId, id, name, role, scope, hash, isOperator: isOperator === true ? 1 : 0, now });
      });
    },
    findByHash: ({ hash }) => engine.read(() => getAs(parsePresented, PRESENTED, { hash })),
    create: (input) => engine.write(() => create(input)),
    find: ({ tenantId, id }) => engine.read(() => getAs(parseKey, FIND, { tenantId, id })),
    list: ({ tenantId, includeRevoked, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['api_keys', tenantId, String(includeRevoked)],
            select: SELECT,
            filters: filtersOf({ tenantId }, ['tenant_id = :tenantId', includeRevoked ? undefined : 'revoked_at IS NULL']),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseKey,
          },
          input,
        ),
      ),
    update: ({ tenantId, id, name, role }) =>
      engine.write(function* () {
        const current = yield* requireKey({ tenantId, id });
        yield* run(UPDATE, { tenantId, id, name: name ?? current.name, role: role ?? current.role });
        return yield* requireKey({ tenantId, id });
      }),
    revoke: ({ tenantId, id, now }) =>
      engine.write(function* () {
        yield* run(REVOKE, { tenantId, id, now });
        return yield* requireKey({ tenantId, id });
      }),
    async touch({ tenantId, id, now }) {
      await engine.write(() => run(TOUCH, { tenantId, id, now }));
    },
  };
}

function* create({ max, now, scope, ...input }: Parameters<ApiKeyStore['create']>[0]): Query<ApiKeyRow> {
  const { tenantId, id, name, role, hash, hint, createdBy, expiresAt } = input;
  // Those who count at the same moment go one after the other.
  yield* holdTenant(tenantId);
  const existing = yield* getAs(parseKey, FIND, { tenantId, id });
  if (existing !== undefined) return existing;
  const counted = yield* get(COUNT, { tenantId, now });
  if (counted !== undefined && integer(counted, 'number') >= max)
    throw new PlatformError('api_key_limit_reached', { detail: `There are ${max} API keys, and more are not allowed.` });
  yield* run(INSERT, { tenantId, id, name, role, hash, hint, createdBy, expiresAt, now, scope: JSON.stringify(scope) });
  const made = yield* getAs(parseKey, FIND, { tenantId, id });
  invariant(made !== undefined, 'a key that was just written exists');
  return made;
}

function* requireKey({ tenantId, id }: KeyId): Query<ApiKeyRow> {
  const row = yield* getAs(parseKey, FIND, { tenantId, id });
  if (row === undefined) throw new PlatformError('api_key_not_found', { detail: `There is no API key "${id.slice(0, 80)}".` });
  return row;
}

function parsePresented(row: Row): PresentedKey {
  return { ...parseKey(row), tenantState: oneOf(row, 'tenant_state', TENANT_STATES) };
}

function parseKey(row: Row): ApiKeyRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    name: text(row, 'name'),
    role: oneOf(row, 'role', ROLES),
    scope: parseScope(row),
    isOperator: integer(row, 'is_operator') === 1,
    hash: text(row, 'hash'),
    hint: text(row, 'hint'),
    createdBy: text(row, 'created_by'),
    createdAt: integer(row, 'created_at'),
    expiresAt: optionalInteger(row, 'expires_at'),
    revokedAt: optionalInteger(row, 'revoked_at'),
    lastUsedAt: optionalInteger(row, 'last_used_at'),
  };
}

/** What is not one of the forms reaches nothing: that is our own bug, and never the whole tenant. */
function parseScope(row: Row): KeyScope {
  const scope = json(row, 'scope');
  if (scope.type === 'tenant') return WHOLE_TENANT;
  if (scope.type === 'agent') return { type: 'agent', agentId: text(scope, 'agentId') };
  invariant(scope.type === 'routes', 'a scope is of a kind that is known');
  return { type: 'routes', groups: stringList({ groups: JSON.stringify(scope.groups) }, 'groups') };
}
