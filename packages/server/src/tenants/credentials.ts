import { timingSafeEqual } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { hasRightChecksum } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import { type Principal, WHOLE_TENANT } from '../core/access.ts';
import type { Store, TenantState, UserRow } from '../store/store.ts';
import { DEFAULT_TENANT } from './bootstrap.ts';

/**
 * Who a credential stands for. Nothing is remembered between requests: what is revoked, over, suspended or of another role
 * in the database is so for the next request, on every server.
 */
export interface Credentials {
  /** Undefined for a key that does not count. Throws `tenant_suspended`. */
  ofKey(hash: string): Promise<Principal | undefined>;
  /** As `ofKey`, of the token in a signed-in browser's cookie. */
  ofSignIn(hash: string): Promise<(Principal & { readonly signInId: string }) | undefined>;
}

/** What is not one of our keys by its own form needs no look into the database. */
export const mayBeSecret = hasRightChecksum;

const TOUCH_MS = 60_000;
const MAX_TOUCHED = 10_000;

export interface CredentialsDeps {
  readonly store: Pick<Store, 'apiKeys' | 'users'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export function createCredentials({ store, clock, log }: CredentialsDeps): Credentials {
  /** When this server noted the last use of each key. */
  const touched = new Map<string, number>();

  function touch(key: { readonly tenantId: string; readonly id: string }, now: number): void {
    if (now - (touched.get(key.id) ?? Number.NEGATIVE_INFINITY) < TOUCH_MS) return;
    touched.delete(key.id);
    touched.set(key.id, now);
    const [oldest] = touched.keys();
    if (touched.size > MAX_TOUCHED && oldest !== undefined) touched.delete(oldest);
    store.apiKeys
      .touch({ ...key, now })
      .catch((error: unknown) => log.debug({ err: error, key: key.id }, 'the last use of a key could not be noted'));
  }

  return {
    async ofKey(hash) {
      const row = await store.apiKeys.findByHash({ hash });
      if (row === undefined || !timingSafeEqual(Buffer.from(row.hash), Buffer.from(hash))) return undefined;
      const now = clock.now();
      if (row.revokedAt !== null || (row.expiresAt !== null && row.expiresAt <= now) || !isOpen(row.tenantState)) return undefined;
      const { id, tenantId, role, scope, isOperator } = row;
      touch({ tenantId, id }, now);
      return { kind: 'key', id, keyId: id, tenantId, role, scope, isOperator };
    },
    async ofSignIn(hash) {
      const found = await store.users.findSignIn({ hash, now: clock.now() });
      if (found === undefined || found.user.state !== 'active' || !isOpen(found.tenantState)) return undefined;
      return { ...principalOf(found.user), signInId: found.id };
    },
  };
}

export function principalOf({ id, tenantId, role }: UserRow): Principal {
  // Who owns the first tenant owns the installation.
  const isOperator = tenantId === DEFAULT_TENANT && role === 'owner';
  return { kind: 'user', id, userId: id, tenantId, role, scope: WHOLE_TENANT, isOperator };
}

/** False for a tenant that is on its way out. Throws for one that is suspended: who has a key may know. */
function isOpen(state: TenantState): boolean {
  if (state === 'suspended') throw new PlatformError('tenant_suspended');
  return state === 'active';
}
