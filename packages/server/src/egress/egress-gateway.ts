import { Agent } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { ProviderConfig } from '../config.ts';
import type { Provider } from '../core/model.ts';
import { isNotPublic, resolveByHost } from './addresses.ts';
import type { Dialer, Resolve } from './dial.ts';
import type { EgressGateway } from './gateway.ts';
import { DEFAULT_LIMITS, type GatewayLimits } from './limits.ts';
import { openSocketServer, type SocketServer, socketPathOf } from './socket-server.ts';

export interface EgressGatewayOptions {
  readonly providers: ReadonlyMap<Provider, ProviderConfig>;
  /** A provider that sends no byte for this long has failed with `model_silent`. */
  readonly modelIdleMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: Partial<GatewayLimits>;
  /** Answers all addresses of a name; the host's own resolver by default. */
  readonly resolve?: Resolve;
  /** Lets tunnels reach this host and private networks. For tests: no configuration leads here. */
  readonly allowPrivateAddresses?: boolean;
}

/** Makes the gateway. It holds no port: every sandbox gets its own socket by `open`. */
export function createEgressGateway(options: EgressGatewayOptions): EgressGateway {
  const { providers, modelIdleMs, clock, log } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const agents = { http: new Agent({ keepAlive: true }), https: new SecureAgent({ keepAlive: true }) };
  const isDenied = options.allowPrivateAddresses === true ? () => false : isNotPublic;
  const dialer: Dialer = { resolve: options.resolve ?? resolveByHost, isDenied, clock, timeoutMs: limits.connectTimeoutMs };
  const servers = new Map<string, SocketServer>();
  let isClosed = false;

  const closeServer = async (server: SocketServer) => {
    if (servers.get(server.path) === server) servers.delete(server.path);
    await server.close();
  };
  return {
    async open(binding) {
      if (isClosed) throw new PlatformError('draining');
      // A second opener of the same directory replaces the first, whose closing would remove the new file.
      const former = servers.get(socketPathOf(binding));
      if (former !== undefined) await closeServer(former);
      const server = await openSocketServer({ providers, modelIdleMs, limits, agents, dialer, clock, log }, binding);
      servers.set(server.path, server);
      return { abortModelCalls: () => server.abortModelCalls(), close: () => closeServer(server) };
    },
    async close() {
      isClosed = true;
      await Promise.all([...servers.values()].map(closeServer));
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}
