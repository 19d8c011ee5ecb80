import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { isMetadataAddress, isNotPublic, resolveByHost } from './addresses.ts';
import { dial, dialPlain, type PlainConnection, type Resolve } from './dial.ts';
import { createDnsResolve } from './dns.ts';
import type { Target } from './host-policy.ts';
import type { Proxies } from './proxies.ts';
import { credentialsFor, credentialsRefused, PROXY_WANTS_CREDENTIALS } from './proxy-tunnel.ts';

export interface ConnectorOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Lets connections reach this host and private networks; the metadata services of clouds stay denied. */
  readonly allowPrivateNetwork: boolean;
  /** The name servers by default; with private networks the host's own resolver, which knows their names. */
  readonly resolve?: Resolve;
  readonly proxies?: Proxies | undefined;
}

/**
 * Opens the server's own connections to places that tenants have named. The addresses are checked just
 * before the connect, as for a sandbox. Throws `egress_denied`, `egress_unreachable` or `egress_proxy_failed`.
 */
export interface Connect {
  /** A connection to the place itself, whatever it goes through. */
  tunnel(target: Target, signal: AbortSignal): Promise<Socket>;
  /** A connection for one request without TLS, which a proxy may read. */
  plain(target: Target, signal: AbortSignal): Promise<PlainWay>;
}

export interface PlainWay {
  readonly socket: Socket;
  /** Set where a proxy reads the request: it wants the whole URL in place of the path, and these headers. */
  readonly byProxy:
    | {
        readonly headers: Readonly<Record<string, string>>;
        /** What an answer of this status means that no host but only the proxy gives. */
        readonly failureOf: (status: number) => Error | undefined;
      }
    | undefined;
}

export function createConnector(options: ConnectorOptions): Connect {
  const { clock, timeoutMs, allowPrivateNetwork, proxies } = options;
  const resolve = options.resolve ?? (allowPrivateNetwork ? resolveByHost : createDnsResolve());
  const isDenied = allowPrivateNetwork ? isMetadataAddress : isNotPublic;
  const dialer = { resolve, isDenied, clock, timeoutMs, proxies };
  return {
    tunnel: (target, signal) => dial(dialer, target, signal),
    plain: async (target, signal) => plainWay(await dialPlain(dialer, target, signal), target),
  };
}

function plainWay({ socket, proxy }: PlainConnection, target: Target): PlainWay {
  if (proxy === undefined) return { socket, byProxy: undefined };
  const failureOf = (status: number) => (status === PROXY_WANTS_CREDENTIALS ? credentialsRefused(proxy, target) : undefined);
  return { socket, byProxy: { headers: { ...credentialsFor(proxy) }, failureOf } };
}
