/** How services are looked after; see docs/configuration.md. */
export interface ServiceSettings {
  readonly ports: { readonly first: number; readonly last: number };
  /** The address that ports are published on. */
  readonly bind: string;
  readonly maxPerTenant: number;
  readonly healthMs: number;
  /** So many failed checks in a row make it unhealthy. */
  readonly healthFailures: number;
  /** How long a service that has never been healthy is given. */
  readonly startMs: number;
  readonly restartBaseMs: number;
  /** More restarts than this within the window, and it has failed. */
  readonly maxRestarts: number;
  readonly restartWindowMs: number;
}
