import type { ProblemCode } from '@cloister/api';
import type { JsonRecord } from '../json.ts';

/** What the gateway has read so far out of one answer as it passed. */
export interface Reading {
  /** Tokens that no cache served. */
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheCreationTokens: number;
  model: string | null;
  /** The wire's own sign of a whole answer was seen. */
  isComplete: boolean;
  /** Nothing more can follow, counts included. */
  isFinal: boolean;
  error: ProviderError | undefined;
}

/** The provider's own words for what went wrong. */
export interface ProviderError {
  readonly type: string;
  readonly message: string;
}

/** An error that the gateway itself answers with. */
export interface GatewayError {
  readonly code: ProblemCode;
  readonly status: number;
  readonly message: string;
}

/** One provider family's way of putting answers, counts and errors. */
export interface ModelWire {
  readonly name: string;
  /** Reads one event of a stream. */
  readEvent(event: JsonRecord, reading: Reading): void;
  /** Reads an answer that is not a stream. */
  readWhole(body: unknown, reading: Reading): void;
  /** An error body in the form this wire's clients understand. */
  renderError(error: GatewayError): JsonRecord;
  /** The event that tells a client in the middle of a stream; undefined when the wire has none. */
  renderStreamError(error: GatewayError): string | undefined;
}
