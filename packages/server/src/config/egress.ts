import { rememberSecret } from '../base/redaction/redaction.ts';
import { type EgressSettings, PROXY_NAMES, type UpstreamProxy, unescaped } from '../core/egress-settings.ts';
import { choice, type Environment, integer, invalid, limit, nameServers, networks, seconds, secret, text } from './values.ts';

const DAY_MS = 86_400_000;
/** More than any machine has. */
export const MAX_BYTES = 1024 ** 5;

export function egressSettings(env: Environment): EgressSettings {
  return {
    allowPrivate: networks(env, 'EGRESS_ALLOW_PRIVATE'),
    nameServers: nameServers(env, 'EGRESS_NAME_SERVERS'),
    maxConnections: integer(env, 'EGRESS_MAX_CONNECTIONS', 64, { min: 1, max: 10_000 }),
    requestsPerSecond: limit(env, 'EGRESS_REQUESTS_PER_SECOND', { max: 100_000, fallback: 50 }),
    turn: {
      requests: limit(env, 'EGRESS_REQUESTS_PER_TURN', { max: 1_000_000_000, fallback: 20_000 }),
      bytes: limit(env, 'EGRESS_BYTES_PER_TURN', { max: MAX_BYTES, fallback: 5 * 1024 ** 3 }),
    },
    session: {
      requests: limit(env, 'EGRESS_REQUESTS_PER_SESSION', { max: 1_000_000_000, fallback: 200_000 }),
      bytes: limit(env, 'EGRESS_BYTES_PER_SESSION', { max: MAX_BYTES, fallback: 50 * 1024 ** 3 }),
    },
    idleMs: integer(env, 'EGRESS_IDLE_SECONDS', 300, { min: 1, max: 86_400 }) * 1000,
    totalMs: integer(env, 'EGRESS_CONNECTION_SECONDS', 3600, { min: 1, max: 604_800 }) * 1000,
    pollMs: seconds(env, 'EGRESS_POLICY_POLL_SECONDS', 2) * 1000,
    auditMs: integer(env, 'EGRESS_AUDIT_DAYS', 30, { min: 1, max: 36_500 }) * DAY_MS,
    auditRowsPerSession: integer(env, 'EGRESS_AUDIT_ROWS_PER_SESSION', 10_000, { min: 100, max: 10_000_000 }),
    credentialsFile: text(env, 'EGRESS_CREDENTIALS_FILE'),
    upstreamCaFile: text(env, 'EGRESS_UPSTREAM_CA_FILE'),
    upstreamProxy: upstreamProxy(env),
  };
}

/** Of everything that goes out, also for commands that have no other settings. */
export function upstreamProxy(env: Environment): UpstreamProxy | undefined {
  const except = text(env, 'NO_PROXY') ?? '';
  const names = choice(env, 'PROXY_NAMES', PROXY_NAMES, 'proxy');
  const secure = proxyUrl(env, 'HTTPS_PROXY');
  const plain = proxyUrl(env, 'HTTP_PROXY');
  return secure === undefined && plain === undefined ? undefined : { secure, plain, except, names };
}

function proxyUrl(env: Environment, name: string): string | undefined {
  const url = secret(env, name);
  if (url === undefined) return undefined;
  const parsed = URL.parse(url);
  // The value may hold a password.
  if (parsed === null || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:'))
    throw invalid(name, 'it is not an http or https URL');
  for (const form of secretForms(parsed)) rememberSecret(form, { isLasting: true });
  return url;
}

/** As it stands in the URL, as it was meant, and as it goes over the wire. */
function secretForms({ username, password }: URL): readonly string[] {
  if (password === '') return [];
  const plain = unescaped(password);
  return [password, plain, Buffer.from(`${unescaped(username)}:${plain}`).toString('base64')];
}
