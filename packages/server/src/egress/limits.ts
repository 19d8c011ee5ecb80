/** What one sandbox may have of the gateway at a time. */
export interface GatewayLimits {
  readonly maxModelCalls: number;
  readonly maxConnections: number;
  readonly maxBodyBytes: number;
  readonly connectTimeoutMs: number;
  readonly tunnel: { readonly max: number; readonly idleMs: number };
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
  tunnel: { max: 64, idleMs: 300_000 },
  server: {
    headersTimeout: 15_000,
    requestTimeout: 120_000,
    keepAliveTimeout: 75_000,
    connectionsCheckingInterval: 5_000,
    maxHeaderSize: 64 * 1024,
  },
};
