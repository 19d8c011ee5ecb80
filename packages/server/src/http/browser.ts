import type { Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { PlatformError } from '../base/errors.ts';
import type { OidcCheck } from '../oidc/oidc.ts';
import type { NewSignIn } from '../tenants/sign-in.ts';
import type { AppContext } from './context.ts';

/** The first is for TLS: browsers take it from no other host, path or connection. */
export const SIGN_IN_COOKIES = ['__Host-cloister', 'cloister_sign_in'] as const;
const CHECK_COOKIES = ['__Host-cloister-oidc', 'cloister_oidc'] as const;
const CHECK_SECONDS = 600;

/** What the pages send along, and no page of another origin can without being allowed to. */
export const CSRF_HEADER = 'x-cloister-csrf';

/** How browsers see the installation. */
export interface Origin {
  /** Such as `https://agents.example.org`. */
  readonly baseUrl: string;
  readonly isSecure: boolean;
}

export type FindOrigin = (c: AppContext) => Origin;

/** From the setting; without one, from the request, in which a trusted proxy may say that it came over TLS. */
export function createOrigin(publicUrl: string | undefined, isFromTrusted: (c: AppContext) => boolean): FindOrigin {
  return (c) => {
    if (publicUrl !== undefined) return { baseUrl: publicUrl, isSecure: publicUrl.startsWith('https:') };
    const isSecure = isFromTrusted(c) && c.req.header('x-forwarded-proto')?.split(',')[0]?.trim() === 'https';
    return { baseUrl: `${isSecure ? 'https' : 'http'}://${new URL(c.req.url).host}`, isSecure };
  };
}

/**
 * Cookies come along with whatever page makes the browser ask. What changes something has to come from our own: with a
 * header that no other page can send unasked, and from the same origin as far as the browser says.
 */
export function requireOwnPage(c: AppContext, publicUrl: string | undefined): void {
  if (['GET', 'HEAD', 'OPTIONS'].includes(c.req.method)) return;
  if (c.req.header(CSRF_HEADER) === undefined || !isSameOrigin(c, publicUrl)) throw new PlatformError('csrf_refused');
}

/** Refuses what a browser says comes from another page; for requests that let somebody in. */
export function requireSameOrigin(c: AppContext, publicUrl: string | undefined): void {
  if (!isSameOrigin(c, publicUrl)) throw new PlatformError('csrf_refused');
}

function isSameOrigin(c: Context, publicUrl: string | undefined): boolean {
  const site = c.req.header('sec-fetch-site');
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false;
  const origin = c.req.header('origin');
  if (origin === undefined) return true;
  const host = URL.parse(origin)?.host;
  const own = publicUrl === undefined ? undefined : new URL(publicUrl).host;
  return host !== undefined && (host === own || host === c.req.header('host'));
}

/** To scripts the cookie is invisible; on requests from other sites it stays away. */
export function rememberSignIn(c: AppContext, { isSecure }: Origin, { token, lastsMs }: NewSignIn): void {
  const [secure, plain] = SIGN_IN_COOKIES;
  const options = { httpOnly: true, secure: isSecure, sameSite: 'Strict', path: '/', maxAge: Math.floor(lastsMs / 1000) } as const;
  setCookie(c, isSecure ? secure : plain, token, options);
}

export function forgetSignIn(c: AppContext): void {
  const [secure, plain] = SIGN_IN_COOKIES;
  deleteCookie(c, secure, { path: '/', secure: true });
  deleteCookie(c, plain, { path: '/' });
}

/** Comes along when the browser returns from the provider, which the stricter kind would not. */
export function rememberCheck(c: AppContext, { isSecure }: Origin, check: OidcCheck): void {
  const [secure, plain] = CHECK_COOKIES;
  const value = Buffer.from(JSON.stringify(check)).toString('base64url');
  setCookie(c, isSecure ? secure : plain, value, { httpOnly: true, secure: isSecure, sameSite: 'Lax', path: '/', maxAge: CHECK_SECONDS });
}

/** Used once. Undefined when the browser brings none that is one. */
export function takeCheck(c: AppContext): OidcCheck | undefined {
  const [secure, plain] = CHECK_COOKIES;
  const value = getCookie(c, secure) ?? getCookie(c, plain);
  deleteCookie(c, secure, { path: '/', secure: true });
  deleteCookie(c, plain, { path: '/' });
  return value === undefined ? undefined : parseCheck(Buffer.from(value, 'base64url').toString('utf8'));
}

function parseCheck(text: string): OidcCheck | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return undefined;
    const { state, nonce, verifier } = value as Partial<Record<keyof OidcCheck, unknown>>;
    if (typeof state !== 'string' || typeof nonce !== 'string' || typeof verifier !== 'string') return undefined;
    return { state, nonce, verifier };
  } catch {
    // Whatever it is, it is none of ours.
    return undefined;
  }
}
