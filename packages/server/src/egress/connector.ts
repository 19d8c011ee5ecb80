import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { isMetadataAddress, isNotPublic, resolveByHost } from './addresses.ts';
import { dial, type Resolve } from './dial.ts';
import { createDnsResolve } from './dns.ts';

export interface ConnectorOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Lets connections reach this host and private networks; the metadata services of clouds stay denied. */
  readonly allowPrivateNetwork: boolean;
  /** The name servers by default; with private networks the host's own resolver, which knows their names. */
  readonly resolve?: Resolve;
}

/**
 * Opens the server's own connections to places that tenants have named. The addresses are checked just
 * before the connect, as for a sandbox. Throws `egress_denied` or `egress_unreachable`.
 */
export type Connect = (target: { readonly host: string; readonly port: number }, signal: AbortSignal) => Promise<Socket>;

export function createConnector(options: ConnectorOptions): Connect {
  const { clock, timeoutMs, allowPrivateNetwork } = options;
  const resolve = options.resolve ?? (allowPrivateNetwork ? resolveByHost : createDnsResolve());
  const isDenied = allowPrivateNetwork ? isMetadataAddress : isNotPublic;
  return (target, signal) => dial({ resolve, isDenied, clock, timeoutMs }, target, signal);
}
