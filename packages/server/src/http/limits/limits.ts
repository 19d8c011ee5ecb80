import type { MiddlewareHandler } from 'hono';
import type { Clock } from '../../base/clock.ts';
import type { Refusals } from '../../base/refusals.ts';
import { createTokenBuckets, type Take, type TokenBuckets } from '../../base/token-buckets.ts';
import { connectionOf } from '../connection.ts';
import type { AppContext, AppVariables } from '../context.ts';
import { clientKey, createClientAddress, createTrust } from './client-address.ts';
import { createFlights, type Flights } from './flights.ts';
import { createKeyGuard, type KeyGuard } from './key-guard.ts';
import type { HttpLimits } from './settings.ts';
import { createSignInGuard, type SignInGuard } from './sign-in-guard.ts';
import { createStreamSlots, type StreamSlots } from './stream-slots.ts';

export interface Limits {
  readonly flights: Flights;
  readonly streams: StreamSlots;
  readonly keyGuard: KeyGuard;
  readonly signInGuard: SignInGuard;
  /** Whether a request comes over a proxy that is believed. */
  readonly isFromTrusted: (c: AppContext) => boolean;
  readonly rates: MiddlewareHandler<{ Variables: AppVariables }>;
}

/** How many keys and tenants have a bucket of their own at once. */
const MAX_BUCKETS = 10_000;
const BURST_SECONDS = 2;

export function createLimits(limits: HttpLimits, { clock, refusals }: { readonly clock: Clock; readonly refusals: Refusals }): Limits {
  const clientAddress = createClientAddress(limits.trustedProxies);
  const isTrusted = createTrust(limits.trustedProxies);
  const clientOf = (c: AppContext) => clientKey(clientAddress(remoteAddress(c), c.req.header('x-forwarded-for')));
  return {
    flights: createFlights({ maxRequests: limits.maxRequests, maxBytes: limits.maxBodyBytes, refusals }),
    streams: createStreamSlots({ max: limits.maxStreams, maxPerTenant: limits.maxStreamsPerTenant, refusals }),
    keyGuard: createKeyGuard({ clientOf, clock, refusals }),
    signInGuard: createSignInGuard({ clientOf, clock, refusals }),
    isFromTrusted: (c) => isTrusted(remoteAddress(c)),
    rates: limitRates(limits, clock, refusals),
  };
}

/** Where the connection comes from; a request that came over none is its own client. */
function remoteAddress(c: AppContext): string {
  return connectionOf(c)?.remoteAddress ?? 'none';
}

/** What an operator needs most when nothing else is answered. */
export function isAlwaysAnswered(path: string): boolean {
  return path === '/health' || path.startsWith('/health/') || path === '/metrics';
}

interface RateLimit {
  readonly name: 'key' | 'tenant';
  readonly perSecond: number;
  readonly buckets: TokenBuckets;
  subject(c: AppContext): string;
}

function limitRates(limits: HttpLimits, clock: Clock, refusals: Refusals): MiddlewareHandler<{ Variables: AppVariables }> {
  const limit = (name: RateLimit['name'], perSecond: number | undefined, subject: RateLimit['subject']): RateLimit[] => {
    if (perSecond === undefined) return [];
    const buckets = createTokenBuckets({ perSecond, burst: perSecond * BURST_SECONDS, maxKeys: MAX_BUCKETS, clock });
    return [{ name, perSecond, buckets, subject }];
  };
  const rates = [
    ...limit('key', limits.requestsPerKey, (c) => c.get('principal').id),
    ...limit('tenant', limits.requestsPerTenant, (c) => c.get('principal').tenantId),
  ];
  const policy = rates.map(({ name, perSecond }) => `"${name}";q=${perSecond * BURST_SECONDS};w=${BURST_SECONDS}`).join(', ');
  return async (c, next) => {
    // What is public has nobody to count it for.
    if (rates.length === 0 || c.get('principal') === undefined || isAlwaysAnswered(c.req.path)) return next();
    const taken = rates.map((rate) => ({ rate, take: rate.buckets.take(rate.subject(c)) }));
    c.header('RateLimit-Policy', policy);
    c.header('RateLimit', taken.map(({ rate, take }) => rateLimitItem(rate, take)).join(', '));
    const refused = taken.find(({ take }) => !take.isTaken);
    if (refused === undefined) return next();
    for (const { rate, take } of taken) if (take.isTaken) rate.buckets.giveBack(rate.subject(c));
    const { name, perSecond } = refused.rate;
    throw refusals.refuse(name === 'key' ? 'key_rate' : 'tenant_rate', {
      detail: `More than ${perSecond} requests per second came with this ${name === 'key' ? 'API key' : 'tenant’s keys'}.`,
      retryAfterMs: refused.take.waitMs,
    });
  };
}

function rateLimitItem({ name, perSecond }: RateLimit, { left }: Take): string {
  // Until it is full again.
  const seconds = Math.ceil((perSecond * BURST_SECONDS - left) / perSecond);
  return `"${name}";r=${left};t=${seconds}`;
}
