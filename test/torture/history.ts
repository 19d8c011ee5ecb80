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
}

/** What a client of one session knows, and what the API says of it in the end. */
export interface SessionHistory {
  readonly sessionId: string;
  /** In the order in which they were sent, each only after the one before was answered, per type. */
  readonly sent: readonly Sent[];
  /** What the stream brought, across all connections. */
  readonly streamed: readonly SessionEvent[];
  /** The log as the API lists it in the end. */
  readonly logged: readonly SessionEvent[];
  /** The stream could not go on, for this reason. */
  readonly streamFailure: string | null;
}

export interface History {
  readonly sessions: readonly SessionHistory[];
  /** From each start of the server to its first answer. */
  readonly readyMs: readonly number[];
  /** Turns that had not ended when the time for it was over. */
  readonly unfinished: number;
}
