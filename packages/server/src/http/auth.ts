import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { PlatformError } from '../base/errors.ts';
import type { Store } from '../store/store.ts';
import type { AppContext, AppVariables } from './context.ts';
import type { KeyGuard } from './limits/key-guard.ts';

/** Keys are kept as hashes: 256 random bits need no slow one. */
export function hashApiKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** What answers without a key: health, the pages' own files, which hold no data, and what has a token of its own. */
const PUBLIC = [/^\/health(\/|$)/, /^\/dashboard(\/|$)/, /^\/docs(\/|$)/, /^\/$/, /^\/favicon\.ico$/, /^\/v1\/services\/[^/]+\/callback$/];

/** Lets only known keys through, everywhere but on the public list; a new route is closed until it is named there. */
export function authenticate(store: Store, guard: KeyGuard): MiddlewareHandler<{ Variables: AppVariables }> {
  return async (c, next) => {
    if (PUBLIC.some((pattern) => pattern.test(c.req.path))) return next();
    const key = presentedKey(c);
    if (key === undefined) throw new PlatformError('credentials_missing');
    const hash = hashApiKey(key);
    const attempt = guard.begin(c, hash);
    const row = await store.apiKeys.findByHash({ hash }).catch((error: unknown) => {
      attempt.abandon();
      throw error;
    });
    if (row === undefined || !timingSafeEqual(Buffer.from(row.hash), Buffer.from(hash))) {
      attempt.fail();
      throw new PlatformError('credentials_invalid');
    }
    attempt.succeed();
    c.set('principal', {
      kind: 'key',
      id: row.id,
      keyId: row.id,
      tenantId: row.tenantId,
      role: row.role,
      scope: row.scope,
      isOperator: row.isOperator,
    });
    return next();
  };
}

function presentedKey(c: AppContext): string | undefined {
  const direct = c.req.header('x-api-key')?.trim();
  if (direct) return direct;
  const bearer = /^Bearer\s+(\S+)\s*$/i.exec(c.req.header('authorization') ?? '');
  return bearer?.[1];
}
