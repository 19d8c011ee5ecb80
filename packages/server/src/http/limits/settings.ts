/** Bounds of one server; other servers on the same database count for themselves. */
export interface HttpLimits {
  /** Requests per second, undefined for no limit. Twice as many may come at once. */
  readonly requestsPerKey: number | undefined;
  readonly requestsPerTenant: number | undefined;
  readonly maxStreams: number;
  readonly maxStreamsPerTenant: number;
  readonly maxRequests: number;
  /** Of all request bodies that are being worked on. */
  readonly maxBodyBytes: number;
  /** Addresses and networks whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
}
