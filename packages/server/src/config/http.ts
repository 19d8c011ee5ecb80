import { weaknessOf } from '../base/weak-secret.ts';
import { type Environment, integer, invalid, limit, networks, secret } from './values.ts';

/** What one server takes at once; undefined stands for no limit. */
export interface HttpLimits {
  readonly requestsPerKey: number | undefined;
  readonly requestsPerTenant: number | undefined;
  readonly maxStreams: number;
  readonly maxStreamsPerTenant: number;
  readonly maxRequests: number;
  readonly maxBodyBytes: number;
  /** Addresses and networks whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
}

export function httpLimits(env: Environment): HttpLimits {
  return {
    requestsPerKey: limit(env, 'RATE_LIMIT_PER_KEY', { max: 1_000_000, fallback: 100 }),
    requestsPerTenant: limit(env, 'RATE_LIMIT_PER_TENANT', { max: 1_000_000, fallback: 200 }),
    maxStreams: integer(env, 'MAX_STREAMS', 5000, { min: 1, max: 1_000_000 }),
    maxStreamsPerTenant: integer(env, 'MAX_STREAMS_PER_TENANT', 2500, { min: 1, max: 1_000_000 }),
    maxRequests: integer(env, 'MAX_REQUESTS_AT_ONCE', 2000, { min: 1, max: 1_000_000 }),
    maxBodyBytes: integer(env, 'MAX_BODY_BYTES_AT_ONCE', 268_435_456, { min: 1024, max: 68_719_476_736 }),
    trustedProxies: networks(env, 'TRUSTED_PROXIES'),
  };
}

const MIN_TOKEN_LENGTH = 16;

/** What reads the metrics and nothing else; without it only the installation's own key does. */
export function metricsToken(env: Environment): string | undefined {
  const token = secret(env, 'METRICS_TOKEN');
  const weakness = token === undefined ? undefined : weaknessOf(token, MIN_TOKEN_LENGTH);
  if (weakness !== undefined) throw invalid('METRICS_TOKEN', weakness);
  return token;
}
