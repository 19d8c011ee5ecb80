import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { createTokenBuckets } from '../base/token-buckets.ts';
import type { ProviderConfig } from '../config.ts';
import type { UpstreamProxy } from '../core/egress-settings.ts';
import type { McpCredentials } from '../core/mcp-credentials.ts';
import type { Provider } from '../core/model.ts';
import type { ModelAccounts } from '../core/model-accounts.ts';
import { deniedBut } from './addresses.ts';
import type { EgressAudit } from './audit.ts';
import type { Dialer, Resolve } from './dial.ts';
import { createDnsResolve } from './dns.ts';
import type { EgressGateway, GatewayBinding, PolicyFeed, ProviderSource } from './gateway.ts';
import type { InspectorDeps } from './inspection/inspector.ts';
import { DEFAULT_LIMITS, type GatewayLimits } from './limits.ts';
import { createProxies } from './proxies.ts';
import { openSocketServer, type SocketServer, socketPathOf } from './socket-server.ts';
import { createCheckedAgents, createTrustedAgents } from './upstream-agents.ts';

export interface EgressGatewayOptions {
  /** The operator's own keys; without a source they are all there is. */
  readonly providers: ReadonlyMap<Provider, ProviderConfig>;
  readonly keys?: ProviderSource | undefined;
  /** A provider that sends no byte for this long has failed with `model_silent`. */
  readonly modelIdleMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: Partial<GatewayLimits>;
  readonly audit: EgressAudit;
  /** Told of what every model call came to, and asked before those that a budget covers; without it there are none. */
  readonly accounts?: ModelAccounts | undefined;
  /** What the sessions have for MCP servers; without it those are spoken to without a credential. */
  readonly mcpCredentials?: McpCredentials | undefined;
  /** Where policies are followed from while sandboxes live; without it those of their start hold. */
  readonly policies?: PolicyFeed | undefined;
  /** Without it no TLS is looked into, and what would have to be is refused. */
  readonly inspection?: InspectorDeps | undefined;
  /** What everything outside is reached by. */
  readonly upstreamProxy?: UpstreamProxy | undefined;
  /** Private networks that may be reached where a policy names the host. */
  readonly allowPrivate?: readonly string[];
  /** Answers all addresses of a name; the name servers of this machine by default. */
  readonly resolve?: Resolve;
  /** Lets tunnels reach this host and private networks. For tests: no configuration leads here. */
  readonly allowPrivateAddresses?: boolean;
}

/** Makes the gateway. It holds no port: every sandbox gets its own socket by `open`. */
export function createEgressGateway(options: EgressGatewayOptions): EgressGateway {
  const { modelIdleMs, clock, log } = options;
  const providers = options.keys ?? managedOnly(options.providers);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const proxies = createProxies(options.upstreamProxy);
  const { connectTimeoutMs: timeoutMs } = limits;
  const agents = createTrustedAgents(proxies, timeoutMs);
  const isDenied = options.allowPrivateAddresses === true ? () => false : deniedBut(options.allowPrivate ?? []);
  const dialer: Dialer = { resolve: options.resolve ?? createDnsResolve(), isDenied, clock, timeoutMs, proxies };
  const checkedAgents = createCheckedAgents(dialer);
  const { requestsPerSecond: perSecond } = limits;
  const buckets = perSecond === undefined ? undefined : createTokenBuckets({ perSecond, burst: perSecond * 4, maxKeys: 10_000, clock });
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
      const { audit, inspection, accounts, mcpCredentials } = options;
      const server = await openSocketServer(
        { providers, modelIdleMs, limits, agents, checkedAgents, dialer, audit, accounts, mcpCredentials, inspection, buckets, clock, log },
        binding,
      );
      servers.set(server.path, server);
      const unfollow = await follow(options, binding, server).catch(async (error: unknown) => {
        await closeServer(server);
        throw error;
      });
      return {
        assign: server.assign,
        beginTurn: server.beginTurn,
        abortModelCalls: server.abortModelCalls,
        async close() {
          unfollow();
          await closeServer(server);
        },
      };
    },
    async close() {
      isClosed = true;
      await Promise.all([...servers.values()].map(closeServer));
      agents.close();
      checkedAgents.close();
    },
  };
}

function managedOnly(managed: ReadonlyMap<Provider, ProviderConfig>): ProviderSource {
  return {
    async find({ provider }) {
      const config = managed.get(provider);
      return config && { config, owner: 'managed' };
    },
  };
}

/** The newest policy holds before the sandbox can ask for anything. */
async function follow(
  { policies }: EgressGatewayOptions,
  { tenantId, subject, network: snapshot }: GatewayBinding,
  { apply }: SocketServer,
): Promise<() => void> {
  if (policies === undefined || subject === undefined) return () => undefined;
  return policies.follow({ tenantId, subject, snapshot, apply });
}
