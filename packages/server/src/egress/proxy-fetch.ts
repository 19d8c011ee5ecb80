import type { UpstreamProxy } from '../core/egress-settings.ts';
import { fetchSmall } from './fetch-small.ts';
import { createProxies } from './proxies.ts';
import { createTrustedAgents } from './upstream-agents.ts';

/** For what libraries want as `fetch`. */
export type SmallFetch = (url: string, init: SmallInit) => Promise<Response>;

export interface SmallInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: ArrayBuffer | ReadableStream | string | Uint8Array | URLSearchParams | null | undefined;
  readonly redirect: 'error' | 'manual';
  readonly signal?: AbortSignal | undefined;
}

const CONNECT_MS = 10_000;
const WITHOUT_BODY = new Set([204, 205, 304]);

/**
 * `fetch` for small answers of places that the operator has named: by the proxy, if one is set and the place has no
 * exception, and else node's own. By the proxy no redirect is followed. Rejects with `egress_proxy_failed` too.
 */
export function createProxyFetch(settings: UpstreamProxy | undefined): SmallFetch {
  const proxies = createProxies(settings);
  if (proxies === undefined) return (url, init) => fetch(url, plainInit(init));
  const agents = createTrustedAgents(proxies, CONNECT_MS);
  return async (place, init) => {
    const url = new URL(place);
    const isSecure = url.protocol === 'https:';
    const target = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || (isSecure ? 443 : 80)) };
    if (proxies.of(isSecure ? 'tunnel' : 'plain', target) === undefined) return fetch(place, plainInit(init));
    const request = new Request(url, plainInit(init));
    const { status, headers, body } = await fetchSmall(url, {
      method: request.method,
      headers: { ...Object.fromEntries(request.headers), connection: 'close' },
      body: request.body === null ? undefined : Buffer.from(await request.arrayBuffer()),
      agents: { ...agents, ...agents.fresh },
      signal: request.signal,
    });
    if (init.redirect === 'error' && status >= 300 && status < 400) throw new TypeError(`The answer is a redirect (${status}).`);
    const pairs = Object.entries(headers).flatMap(([name, value]) => [value ?? []].flat().map((one): [string, string] => [name, one]));
    return new Response(WITHOUT_BODY.has(status) ? null : body, { status, headers: pairs });
  };
}

function plainInit({ method, headers, body, redirect, signal }: SmallInit): RequestInit {
  // As: the bytes are never shared ones, which is all that the two types differ in.
  const given = body == null ? {} : { body: body as NonNullable<RequestInit['body']> };
  return { method, headers, redirect, ...given, ...(signal === undefined ? {} : { signal }) };
}
