/** Requests and bytes, both ways; undefined stands for no limit. */
export interface Budget {
  readonly requests: number | undefined;
  readonly bytes: number | undefined;
}

/** What one sandbox may have of the gateway. */
export interface GatewayLimits {
  readonly maxModelCalls: number;
  readonly maxConnections: number;
  readonly maxBodyBytes: number;
  readonly connectTimeoutMs: number;
  readonly tunnel: { readonly max: number; readonly idleMs: number; readonly totalMs: number };
  /** Of connections and requests to other hosts; a burst of four seconds is let through. */
  readonly requestsPerSecond: number | undefined;
  readonly turn: Budget;
  /** Over all sandboxes of the session. */
  readonly session: Budget;
  /** Against requests that are sent a byte at a time. */
  readonly server: {
    readonly headersTimeout: number;
    readonly requestTimeout: number;
    readonly keepAliveTimeout: number;
    readonly connectionsCheckingInterval: number;
    readonly maxHeaderSize: number;
  };
}

export const DEFAULT_LIMITS: GatewayLimits = {
  maxModelCalls: 16,
  maxConnections: 256,
  maxBodyBytes: 32 * 1024 * 1024,
  connectTimeoutMs: 30_000,
  tunnel: { max: 64, idleMs: 300_000, totalMs: 3_600_000 },
  requestsPerSecond: undefined,
  turn: { requests: undefined, bytes: undefined },
  session: { requests: undefined, bytes: undefined },
  server: {
    headersTimeout: 15_000,
    requestTimeout: 120_000,
    keepAliveTimeout: 75_000,
    connectionsCheckingInterval: 5_000,
    maxHeaderSize: 64 * 1024,
  },
};
