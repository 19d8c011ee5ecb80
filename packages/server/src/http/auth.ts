import type { MiddlewareHandler } from 'hono';
import { getCookie } from 'hono/cookie';
import { PlatformError } from '../base/errors.ts';
import type { Principal } from '../core/access.ts';
import type { Credentials } from '../tenants/credentials.ts';
import { mayBeSecret } from '../tenants/credentials.ts';
import { hashSecret } from '../tenants/granting.ts';
import { requireOwnPage, SIGN_IN_COOKIES } from './browser.ts';
import type { AppContext, AppVariables } from './context.ts';
import type { KeyGuard } from './limits/key-guard.ts';
import type { OpenRequests } from './open-requests.ts';

/** As keys are kept: 256 random bits need no slow hash. */
export const hashApiKey = hashSecret;

/** What answers without a key: health, the pages' own files, which hold no data, ways to sign in, and what has a token of its own. */
const PUBLIC = [
  /^\/api\/agents\/[^/]+\/webhook$/,
  /^\/health(\/|$)/,
  /^\/dashboard(\/|$)/,
  /^\/docs(\/|$)/,
  /^\/$/,
  /^\/favicon\.ico$/,
  /^\/v1\/services\/[^/]+\/callback$/,
  /^\/v1\/auth\/(sign_in|accept_invitation|methods|oidc\/(start|callback))$/,
];

export interface AuthDeps {
  readonly credentials: Credentials;
  readonly guard: KeyGuard;
  readonly open: OpenRequests;
  readonly publicUrl: string | undefined;
  readonly metricsToken: string | undefined;
}

/**
 * Lets only known keys and signed-in browsers through, everywhere but on the public list; a new route is closed until it
 * is named there. An answer that stays open is cut when its credential counts no more.
 */
export function authenticate(deps: AuthDeps): MiddlewareHandler<{ Variables: AppVariables }> {
  const metricsHash = deps.metricsToken === undefined ? undefined : hashSecret(deps.metricsToken);
  return async (c, next) => {
    if (PUBLIC.some((pattern) => pattern.test(c.req.path))) return next();
    const key = presentedKey(c);
    const token = key === undefined ? presentedToken(c) : undefined;
    if (key === undefined && token === undefined) throw new PlatformError('credentials_missing');
    if (token !== undefined) requireOwnPage(c, deps.publicUrl);
    const secret = key ?? token ?? '';
    const hash = hashSecret(secret);
    // Hashes are compared, so how long it takes tells nothing of the token.
    if (c.req.path === '/metrics' && hash === metricsHash) return next();
    const find = () => (key === undefined ? deps.credentials.ofSignIn(hash) : deps.credentials.ofKey(hash));
    const found = await checked(deps.guard, c, { secret, hash }, find);
    if ('signInId' in found) c.set('signInId', found.signInId);
    c.set('principal', found);
    deps.open.add(c, { hash, find });
    return next();
  };
}

type Found = Principal & { readonly signInId?: string };

async function checked(
  guard: KeyGuard,
  c: AppContext,
  { secret, hash }: { readonly secret: string; readonly hash: string },
  find: () => Promise<Found | undefined>,
): Promise<Found> {
  const attempt = guard.begin(c, hash);
  const found = mayBeSecret(secret)
    ? await find().catch((error: unknown) => {
        attempt.abandon();
        throw error;
      })
    : undefined;
  if (found === undefined) {
    attempt.fail();
    throw new PlatformError('credentials_invalid');
  }
  attempt.succeed();
  return found;
}

function presentedKey(c: AppContext): string | undefined {
  const direct = c.req.header('x-api-key')?.trim();
  if (direct) return direct;
  const bearer = /^Bearer\s+(\S+)\s*$/i.exec(c.req.header('authorization') ?? '');
  return bearer?.[1];
}

function presentedToken(c: AppContext): string | undefined {
  return SIGN_IN_COOKIES.map((name) => getCookie(c, name)).find((value) => value !== undefined && value !== '');
}
