import type { DeliveryKind, DeliveryRow } from '../store/store.ts';

/** What came of one attempt, as the way out saw it. What follows from that is the outbox's to decide. */
export type Attempt =
  | { readonly outcome: 'sent'; readonly status: number | null }
  /** Certainly not taken; worth another attempt. */
  | { readonly outcome: 'refused'; readonly status: number | null; readonly error: string; readonly retryAfterMs?: number | undefined }
  /** It went out, and whether it was taken nobody knows. */
  | { readonly outcome: 'unknown'; readonly error: string }
  /** Never to be tried again. `isGone`: nor anything else at this target. */
  | { readonly outcome: 'rejected'; readonly status: number | null; readonly error: string; readonly isGone: boolean }
  /** Called off before anything was tried. */
  | { readonly outcome: 'returned' };

/** Makes one attempt at a delivery that is leased. Ends soon after the signal is aborted. */
export type Deliver = (delivery: DeliveryRow, signal: AbortSignal) => Promise<Attempt>;

/** The way out for each kind of delivery. */
export type DeliverByKind = Readonly<Record<DeliveryKind, Deliver>>;
