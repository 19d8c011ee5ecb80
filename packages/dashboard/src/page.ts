/** What the main column shows instead of a conversation. */
export interface Page {
  readonly title: string;
  readonly elements: readonly HTMLElement[];
  /** Shows what there is; failures are shown on the page. */
  start(): Promise<void>;
  close(): void;
}
