import type { MiddlewareHandler } from 'hono';
import type { FindOrigin } from './browser.ts';
import type { AppVariables } from './context.ts';

/** Answers of the API are no pages: shown as one, they may load and do nothing. Pages bring a policy of their own. */
const NO_PAGE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox";
const YEAR_SECONDS = 31_536_000;

const ALWAYS: Readonly<Record<string, string>> = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'X-Frame-Options': 'DENY',
  'Content-Security-Policy': NO_PAGE,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  // What the API says is for who asked, and for no cache on the way.
  'Cache-Control': 'no-store',
};

/** Set before anything is done, so that refusals have them too; a route may say it better. */
export function securityHeaders(originOf: FindOrigin): MiddlewareHandler<{ Variables: AppVariables }> {
  return async (c, next) => {
    for (const [name, value] of Object.entries(ALWAYS)) c.header(name, value);
    if (originOf(c).isSecure) c.header('Strict-Transport-Security', `max-age=${YEAR_SECONDS}`);
    return next();
  };
}
