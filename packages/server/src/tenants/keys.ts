import type { ApiKey, ApiKeyCreateBody, ApiKeyUpdate, ApiKeyWithSecret } from '@cloister/api';
import { mapPage, requireAgent } from '../agents/agents.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId, newSecret } from '../base/ids.ts';
import type { Principal } from '../core/access.ts';
import type { AuditSink } from '../core/audit.ts';
import type { ApiKeyRow, Page, PageInput, Store } from '../store/store.ts';
import { actorOf, fromWireScope, hashSecret, requireMayGrant, toWireScope } from './granting.ts';

/** Use cases of API keys; each in the tenant of who asks, and never beyond their own role. */
export interface ApiKeys {
  /** The answer alone has the key: only its hash is kept. */
  create(principal: Principal, body: ApiKeyCreateBody, id?: string): Promise<ApiKeyWithSecret>;
  get(tenantId: string, id: string): Promise<ApiKey>;
  list(tenantId: string, input: PageInput & { includeRevoked: boolean }): Promise<Page<ApiKey>>;
  update(principal: Principal, id: string, body: ApiKeyUpdate): Promise<ApiKey>;
  /** Nothing is remembered of keys between requests, so every server refuses it from now on. */
  revoke(principal: Principal, id: string): Promise<ApiKey>;
}

export interface ApiKeysDeps {
  readonly store: Pick<Store, 'apiKeys' | 'agents'>;
  readonly clock: Clock;
  readonly audit: AuditSink;
}

const MAX_KEYS = 1000;

export function createApiKeys({ store, clock, audit }: ApiKeysDeps): ApiKeys {
  const toKey = (row: ApiKeyRow): ApiKey => describe(row, clock.now());

  async function requireKey(tenantId: string, id: string): Promise<ApiKeyRow> {
    const row = await store.apiKeys.find({ tenantId, id });
    if (row === undefined) throw new PlatformError('api_key_not_found', { detail: `There is no API key "${id.slice(0, 80)}".` });
    return row;
  }

  return {
    async create(principal, body, id = newId('apiKey')) {
      const { tenantId } = principal;
      requireMayGrant(principal, body.role);
      const now = clock.now();
      const expiresAt = body.expires_at ? Date.parse(body.expires_at) : null;
      if (expiresAt !== null && expiresAt <= now)
        throw new PlatformError('request_invalid', {
          detail: 'The key would be over before it begins.',
          fields: [{ pointer: '/expires_at', message: 'a time to come' }],
        });
      const scope = fromWireScope(body.scope);
      if (scope.type === 'agent') await requireAgent(store.agents, tenantId, scope.agentId);
      const key = newSecret('apiKey');
      const row = await store.apiKeys.create({
        tenantId,
        id,
        name: body.name,
        role: body.role,
        scope,
        hash: hashSecret(key),
        hint: hintOf(key),
        createdBy: actorOf(principal),
        expiresAt,
        max: MAX_KEYS,
        now,
      });
      // One that an earlier try has made has a key that nobody knows any more.
      const isOurs = row.hash === hashSecret(key);
      const detail = { name: row.name, role: row.role, scope: toWireScope(row.scope) };
      if (isOurs) await audit.record({ tenantId, actor: actorOf(principal), action: 'key.created', subject: row.id, detail });
      return { ...toKey(row), key: isOurs ? key : null };
    },
    get: async (tenantId, id) => toKey(await requireKey(tenantId, id)),
    list: async (tenantId, input) => mapPage(await store.apiKeys.list({ tenantId, ...input }), toKey),
    async update(principal, id, body) {
      const { tenantId } = principal;
      const current = await requireKey(tenantId, id);
      requireMayGrant(principal, current.role, body.role ?? current.role);
      const row = await store.apiKeys.update({ tenantId, id, name: body.name, role: body.role });
      const detail = { name: row.name, role: row.role };
      await audit.record({ tenantId, actor: actorOf(principal), action: 'key.changed', subject: id, detail });
      return toKey(row);
    },
    async revoke(principal, id) {
      const { tenantId } = principal;
      requireMayGrant(principal, (await requireKey(tenantId, id)).role);
      const row = await store.apiKeys.revoke({ tenantId, id, now: clock.now() });
      await audit.record({ tenantId, actor: actorOf(principal), action: 'key.revoked', subject: id });
      return toKey(row);
    },
  };
}

function hintOf(key: string): string {
  return `${key.slice(0, 8)}…${key.slice(-4)}`;
}

function describe(row: ApiKeyRow, now: number): ApiKey {
  const isOver = row.expiresAt !== null && row.expiresAt <= now;
  return {
    id: row.id,
    type: 'api_key',
    name: row.name,
    role: row.role,
    scope: toWireScope(row.scope),
    hint: row.hint,
    status: row.revokedAt !== null ? 'revoked' : isOver ? 'expired' : 'active',
    created_by: row.createdBy,
    created_at: toTimestamp(row.createdAt),
    expires_at: timestampOrNull(row.expiresAt),
    revoked_at: timestampOrNull(row.revokedAt),
    last_used_at: timestampOrNull(row.lastUsedAt),
  };
}

function timestampOrNull(ms: number | null): string | null {
  return ms === null ? null : toTimestamp(ms);
}
