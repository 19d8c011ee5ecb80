/** What the gateway has decided since the server began. */
export interface EgressReport {
  /** Decisions by outcome and reason. */
  counts(): readonly { readonly outcome: string; readonly reason: string; readonly count: number }[];
  /** Between sandboxes and other hosts, both ways. */
  bytes(): number;
  /** Records that were lost because the store did not keep up. */
  dropped(): number;
  /** Writes what waits; throws when the store does not take it, and it goes on waiting. */
  flush(): Promise<void>;
}
