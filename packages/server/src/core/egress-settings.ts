/** What sandboxes may have of the network; undefined stands for no limit. */
export interface EgressSettings {
  /** Networks that are private and may be reached all the same, where a policy names the host. */
  readonly allowPrivate: readonly string[];
  /** Name servers; empty takes those of this machine. */
  readonly nameServers: readonly string[];
  readonly maxConnections: number;
  readonly requestsPerSecond: number | undefined;
  readonly turn: { readonly requests: number | undefined; readonly bytes: number | undefined };
  readonly session: { readonly requests: number | undefined; readonly bytes: number | undefined };
  readonly idleMs: number;
  readonly totalMs: number;
  readonly pollMs: number;
  readonly auditMs: number;
  readonly auditRowsPerSession: number;
  readonly credentialsFile: string | undefined;
  /** Authorities that are trusted for inspected hosts, besides the public ones. */
  readonly upstreamCaFile: string | undefined;
  /** The proxy that the operator's own providers are reached by. */
  readonly upstreamProxy: UpstreamProxy | undefined;
}

export interface UpstreamProxy {
  /** http or https, with user and password if it wants them. */
  readonly url: string;
  /** Hosts that are reached without it, apart by commas; `.name` stands for all below a name. */
  readonly except: string;
}
