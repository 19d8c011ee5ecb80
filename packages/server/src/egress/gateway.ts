import type { ProblemCode } from '@cloister/api';
import type { Usage } from '../store/store.ts';

/**
 * The egress seam: the only way out of a sandbox. One directory per sandbox holds one unix socket,
 * and the socket is the identity; nothing inside the sandbox says who it is. See docs/security.md.
 *
 * On the socket the gateway speaks HTTP/1.1:
 * - `/{provider}/…` goes to that model provider with our credentials (`/anthropic/v1/messages` …);
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
  /** Where the policy is read from while the sandbox lives; without it `network` stays as it is. */
  readonly subject?: PolicySubject | undefined;
  readonly observer: ModelCallObserver;
}

/**
 * Which hosts CONNECT may reach; an empty list is none. An entry is `host` (ports 80 and 443) or
 * `host:port`; `*.example.org` covers subdomains only.
 */
export interface NetworkPolicy {
  readonly allowedHosts: readonly string[];
  /** Every host and port of the public internet; the denied addresses stay denied. */
  readonly isUnrestricted?: boolean | undefined;
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
  onStart(call: { readonly callId: string; readonly provider: string; readonly model: string | null }): void;
  /** Once per started call, whatever happened to it. */
  onEnd(call: ModelCallEnd): void;
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
