/** How what models cost is kept and bounded; see docs/configuration.md. */
export interface SpendingSettings {
  /** The operator's own prices; undefined for the published ones alone. */
  readonly pricesFile: string | undefined;
  /** So many bytes of a request are one token at least: what a reservation reckons with. */
  readonly bytesPerToken: number;
  /** The bound that a request without one gets where a budget applies. */
  readonly defaultMaxOutputTokens: number;
  /** How long a call's connection waits for an answer before its turn waits without a sandbox. */
  readonly holdMs: number;
  /** How soon a budget that another server made is known here. */
  readonly pollMs: number;
  /** How long the records of single calls are kept; the sums by day stay. Undefined for good. */
  readonly recordsMs: number | undefined;
}
