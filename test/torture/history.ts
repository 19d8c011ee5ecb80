import type { SessionEvent } from '../../packages/api/src/index.ts';

/** One POST of events, sent under one Idempotency-Key until it was accepted. */
export interface Sent {
  readonly key: string;
  readonly type: 'user.message' | 'user.interrupt' | 'user.tool_confirmation';
  /** Text of each message, unlike any other message's. */
  readonly texts: readonly string[];
  /** The event ids of every accepting answer that came: one per try that was answered. */
  readonly answers: readonly (readonly string[])[];
  /** The server refused it for good, as it may for an approval that is decided already. */
  readonly refusal: string | null;
  /** Statuses of tries under the same key with another body, once it was accepted. */
  readonly mismatches: readonly number[];
}

/** What a client of one session knows, and what the API says of it in the end. */
export interface SessionHistory {
  readonly sessionId: string;
  /** In the order in which they were sent, each only after the one before was answered, per type. */
  readonly sent: readonly Sent[];
  /** What the stream brought, across all connections and servers. */
  readonly streamed: readonly SessionEvent[];
  /** The log as the API lists it in the end. */
  readonly logged: readonly SessionEvent[];
  /** The stream could not go on, for this reason. */
  readonly streamFailure: string | null;
}

/** One request that the webhook receiver of the torture got. */
export interface Delivered {
  /** The header `webhook-id`: the same at every attempt. */
  readonly id: string;
  /** What the message says it tells of. */
  readonly type: string;
  readonly sessionId: string | null;
  readonly turnId: string | null;
  /** Of the body, so that two attempts can be compared. */
  readonly bodyHash: string;
  readonly isSigned: boolean;
  /** What the receiver answered; null when it took the message and its answer went nowhere. */
  readonly status: number | null;
}

export interface WebhookHistory {
  readonly delivered: readonly Delivered[];
  /** Messages that the API shows as failed for good. */
  readonly deadLetters: readonly string[];
  /** Deliveries that had neither arrived nor failed when the time for it was over. */
  readonly open: number;
}

/** From the moment a fault was healed, or was noticed where it heals never, to the first write that was answered. */
export interface Recovery {
  readonly fault: string;
  readonly ms: number;
}

/** A server that was asked to stop. */
export interface Stop {
  readonly code: number | null;
  readonly ms: number;
}

export interface History {
  readonly sessions: readonly SessionHistory[];
  /** From each start of the server to its first answer. */
  readonly readyMs: readonly number[];
  /** Turns that had not ended when the time for it was over. */
  readonly unfinished: number;
  /** How many faults there were in all. */
  readonly faults: number;
  readonly recoveries: readonly Recovery[];
  readonly stops: readonly Stop[];
  /** Answers with 429, 503 or 507 that did not say when to come again. */
  readonly bareRefusals: number;
  /** The most turns of a session that may wait behind the one under way. */
  readonly maxQueuedPerSession: number;
  /** Of each sandbox that the API shows in the end, its session. */
  readonly sandboxes: readonly string[];
  /** Null when nobody subscribed. */
  readonly webhooks: WebhookHistory | null;
  /** What the database itself says of its soundness: `ok`, or null where it was not asked. */
  readonly integrity: string | null;
}
