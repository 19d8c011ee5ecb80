import type { ProblemCode } from '@cloister/api';
import type { InjectedCredential } from '../core/injected-credential.ts';
import type { Provider } from '../core/model.ts';
import type { HeldTurn } from '../core/model-accounts.ts';
import type { ProviderConfig } from '../core/provider-config.ts';
import type { Usage } from '../store/store.ts';

/**
 * The egress seam: the only way out of a sandbox. One directory per sandbox holds one unix socket,
 * and the socket is the identity; nothing inside the sandbox says who it is. See docs/security.md.
 *
 * On the socket the gateway speaks HTTP/1.1:
 * - `/{provider}/…` goes to that model provider with our credentials (`/anthropic/v1/messages` …);
 * - `/mcp/{name}` goes to that MCP server of the agent, with the credential that the session has for it;
 * - `CONNECT host:port` opens a tunnel to a host the policy allows;
 * - everything else is refused.
 */
export interface EgressGateway {
  /** Makes `<directory>/gateway.sock` (mode 0666) and serves it. A stale socket file is replaced. */
  open(binding: GatewayBinding): Promise<GatewayConnection>;
  /** Closes all sockets and aborts what is under way. */
  close(): Promise<void>;
}

export const GATEWAY_SOCKET_NAME = 'gateway.sock';
/** Beside the socket: the certificate of this installation's authority, alone and among the public ones. */
export const CA_FILE = 'ca.pem';
export const CA_BUNDLE_FILE = 'ca-bundle.pem';

export interface GatewayBinding {
  readonly sandboxId: string;
  readonly tenantId: string;
  /** Undefined for a sandbox that stands ready: it reaches nothing before `assign`. */
  readonly sessionId: string | undefined;
  readonly directory: string;
  readonly network: NetworkPolicy;
  /** Servers that the agent may reach as `/mcp/{name}`, where the policy allows those or names their hosts. */
  readonly mcpServers?: readonly McpServer[] | undefined;
  /** Where the policy is read from while the sandbox lives; without it `network` stays as it is. */
  readonly subject?: PolicySubject | undefined;
  readonly observer: ModelCallObserver;
}

/** An MCP server over HTTP, as the agent's definition declares it. */
export interface McpServer {
  readonly name: string;
  readonly url: string;
}

/**
 * Which hosts CONNECT may reach; an empty list is none. An entry is `host` (ports 80 and 443) or
 * `host:port`; `*.example.org` covers subdomains only.
 */
export interface NetworkPolicy {
  readonly allowedHosts: readonly string[];
  /** Every host and port of the public internet; the denied addresses stay denied. */
  readonly isUnrestricted?: boolean | undefined;
  /** The MCP servers that the agent declares, beyond the hosts that are listed. */
  readonly allowsMcpServers?: boolean | undefined;
  /** Hosts of which only some is allowed. */
  readonly rules?: readonly NetworkRule[] | undefined;
}

/** A list left out, or null, limits nothing. */
export interface NetworkRule {
  readonly host: string;
  readonly methods?: readonly string[] | null | undefined;
  readonly paths?: readonly string[] | null | undefined;
  /** TLS to the host is looked into, so that methods and paths hold there too. */
  readonly isInspected?: boolean | undefined;
  /** Name of the credential that is put into inspected requests. */
  readonly credential?: string | null | undefined;
}

export interface PolicySubject {
  readonly environmentId: string;
  readonly agentId: string;
}

export interface GatewayConnection {
  /** The sandbox is this session's from now on, for good. Only for a binding that began without one. */
  assign(sessionId: string): Promise<void>;
  /** A turn begins: it has its own share of requests and bytes. */
  beginTurn(): void;
  /** Aborts the model calls under way, for an interrupt: upstream stops at once. */
  abortModelCalls(): void;
  /** Closes the socket, removes its file, aborts what is under way. */
  close(): Promise<void>;
}

/** Told of every model call, in order; must not block. */
export interface ModelCallObserver {
  /** The turn that calls are made for; undefined between turns. */
  readonly turn?: HeldTurn | undefined;
  onStart(call: { readonly callId: string; readonly provider: string; readonly model: string | null }): void;
  /** Once per started call, whatever happened to it. */
  onEnd(call: ModelCallEnd): void;
  /** A call to an MCP server had no credential that is still good. */
  onMcpRefusal?(refusal: McpRefusal): void;
}

export interface McpRefusal {
  /** As the agent has declared it. */
  readonly server: string;
  /** Safe to show. */
  readonly message: string;
}

export interface ModelCallEnd {
  readonly callId: string;
  readonly provider: string;
  readonly model: string | null;
  readonly usage: Usage;
  /** Undefined when the call succeeded. `aborted` when the sandbox itself hung up. */
  readonly failure: ModelFailure | 'aborted' | undefined;
}

export interface ModelFailure {
  readonly code: ProblemCode;
  /** In plain words, with the provider's own short message when it gave one; no secrets. */
  readonly message: string;
  readonly status: number | null;
  readonly retryAfterMs: number | null;
}

/** Who asks for a credential: the sandbox's own socket says it. */
export interface CredentialAsker {
  readonly tenantId: string;
  readonly sessionId: string | null;
  readonly agentId: string | null;
}

/** Where the gateway gets the key of a model call from. Asked for each call, so that a change holds for the next. */
export interface ProviderSource {
  /** Undefined when nobody has a key for it. Throws `managed_keys_refused`. */
  find(input: CredentialAsker & { readonly provider: Provider }): Promise<FoundProvider | undefined>;
}

export const KEY_OWNERS = ['session', 'agent', 'tenant', 'managed'] as const;

export interface FoundProvider {
  readonly config: ProviderConfig;
  /** Whose key it is. All but `managed` are a tenant's, and so is the place that they name. */
  readonly owner: (typeof KEY_OWNERS)[number];
}

/** Where the gateway gets credentials for hosts from. A policy names one; the source decides to whom and where it goes. */
export interface CredentialSource {
  /** Undefined when there is none of that name for the asker and the host. `covers`: whether one of the hosts is meant. */
  find(
    input: CredentialAsker & { readonly name: string; readonly covers: (hosts: readonly string[]) => boolean },
  ): Promise<InjectedCredential | undefined>;
}

/** What a provider says to a key. */
export interface KeyVerdict {
  readonly result: 'ok' | 'invalid' | 'quota' | 'unreachable' | 'failed';
  readonly status: number | null;
  readonly message: string;
  readonly models: readonly string[];
}

/** Asks a provider for its models, over a connection whose address was checked where a tenant has named it. Never throws. */
export type KeyCheck = (provider: Provider, config: ProviderConfig) => Promise<KeyVerdict>;

/** Where the gateway learns what policies hold. */
export interface PolicyFeed {
  /**
   * Calls `apply` with the policies before it resolves, and again with each change: at once for a change that was
   * made on this server, within the time of a poll for another. Throws when they cannot be read. Returns the way out.
   */
  follow(follower: PolicyFollower): Promise<() => void>;
}

export interface PolicyFollower {
  readonly tenantId: string;
  readonly subject: PolicySubject;
  /** The session's copy of the environment's policy. */
  readonly snapshot: NetworkPolicy;
  apply(policies: readonly NetworkPolicy[]): void;
}
