/**
 * Requests that make or change something under an `Idempotency-Key`. A reservation holds the id of what is to be
 * made, from before it is made: whoever repeats the request after a crash makes the same thing, not a second one.
 * It is leased by the request that works on it, in the store's own time.
 */
export interface RequestStore {
  /**
   * Reserves the key, or says what has become of it. A reservation whose holder is gone is taken over with the
   * `resourceId` it has. Throws `idempotency_mismatch` when the key is that of another request.
   */
  begin(input: {
    tenantId: string;
    key: string;
    requestHash: string;
    /** What tells things to be made from each other; used when the key is new. */
    resourceId: string;
    /** Stands for this one try; writes of any other change nothing. */
    holder: string;
    leaseMs: number;
    /** How long the key is remembered. */
    keepMs: number;
  }): Promise<RequestBegin>;
  /** Keeps the answer, if the holder still has the reservation; else false, and nothing changes. */
  complete(input: { tenantId: string; key: string; holder: string; status: number; body: string }): Promise<boolean>;
  /**
   * Gives up. With `keepsResource` something may have been made: the next try takes over at once with the same
   * `resourceId`. Without, nothing was, and the key is free for any request.
   */
  abandon(input: { tenantId: string; key: string; holder: string; keepsResource: boolean }): Promise<void>;
}

export type RequestBegin =
  | {
      readonly type: 'begun';
      readonly resourceId: string;
      /** An earlier try may have done it already. */
      readonly isRepeat: boolean;
    }
  | { readonly type: 'running' }
  | { readonly type: 'answered'; readonly status: number; readonly body: string };
