import type { OidcSettings, SignInSettings } from '../core/sign-in-settings.ts';
import { type Environment, flag, integer, invalid, secret, text, textOr, url, words } from './values.ts';

const HOUR_MS = 3_600_000;

export function signInSettings(env: Environment): SignInSettings {
  return {
    publicUrl: url(env, 'PUBLIC_URL'),
    passwords: flag(env, 'PASSWORD_SIGN_IN', true),
    signInMs: integer(env, 'SIGN_IN_HOURS', 168, { min: 1, max: 8760 }) * HOUR_MS,
    oidc: oidcSettings(env),
  };
}

function oidcSettings(env: Environment): OidcSettings | undefined {
  // As it stands: providers differ in whether theirs ends in a slash.
  const issuer = url(env, 'OIDC_ISSUER') === undefined ? undefined : text(env, 'OIDC_ISSUER');
  const clientId = text(env, 'OIDC_CLIENT_ID');
  const role = textOr(env, 'OIDC_ROLE', 'member');
  const rest = {
    clientSecret: secret(env, 'OIDC_CLIENT_SECRET'),
    name: text(env, 'OIDC_NAME'),
    tenant: textOr(env, 'OIDC_TENANT', 'default'),
    tenantClaim: text(env, 'OIDC_TENANT_CLAIM'),
    allowedDomains: words(env, 'OIDC_ALLOWED_DOMAINS').map((domain) => domain.toLowerCase().replace(/^@/, '')),
  };
  if (issuer === undefined) return undefined;
  const { protocol, hostname } = new URL(issuer);
  if (protocol !== 'https:' && !['127.0.0.1', '[::1]', 'localhost'].includes(hostname))
    throw invalid('OIDC_ISSUER', 'it has to be an https URL, but on this host itself');
  if (clientId === undefined) throw invalid('OIDC_CLIENT_ID', 'it is needed with OIDC_ISSUER');
  if (role !== 'viewer' && role !== 'member' && role !== 'admin') throw invalid('OIDC_ROLE', `"${role}" is none of viewer, member, admin`);
  return { ...rest, issuer, clientId, name: rest.name ?? hostname, role };
}
