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
  /** The proxies that everything outside is reached by. */
  readonly upstreamProxy: UpstreamProxy | undefined;
}

/** A part of a URL that names a user or a password; a lone `%` in it is meant as it stands. */
export function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Who looks up the names of places that tenants have named, behind a proxy. */
export const PROXY_NAMES = ['proxy', 'here'] as const;

export interface UpstreamProxy {
  /** For TLS and tunnels: http or https, with user and password if it wants them. */
  readonly secure: string | undefined;
  /** The same for requests without TLS. */
  readonly plain: string | undefined;
  /** Hosts that are reached without it, apart by commas. */
  readonly except: string;
  /**
   * `proxy`: it is told the name; one that leads to a private address here is refused, and one that does not resolve
   * here is the proxy's to judge. `here`: it is told an address that was checked, and never a name.
   */
  readonly names: (typeof PROXY_NAMES)[number];
}
