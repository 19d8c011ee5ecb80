import { RequestError } from '@agentclientprotocol/sdk';
import { APICallError } from '@ai-sdk/provider';

/** What the host learns of a model call that failed: `data` of the JSON-RPC error. */
export interface ModelErrorData {
  readonly kind: 'model_error';
  /** The provider's HTTP status; null when there was no answer, or the answer was not as it must be. */
  readonly status: number | null;
  readonly message: string;
  readonly retryAfterMs: number | null;
}

/** Some messages quote what the provider sent. */
const MAX_MESSAGE = 2000;

const INTERNAL_ERROR = -32_603;

/** The model's answer was not complete, and nothing said why. */
export class IncompleteAnswerError extends Error {
  constructor() {
    super("The model's answer ended before it was complete.");
    this.name = 'IncompleteAnswerError';
  }
}

export function toModelError(error: unknown): RequestError {
  const cause = rootCause(error);
  const data: ModelErrorData = {
    kind: 'model_error',
    status: statusOf(cause),
    message: messageOf(cause).slice(0, MAX_MESSAGE),
    retryAfterMs: APICallError.isInstance(cause) ? retryAfter(cause.responseHeaders ?? {}) : null,
  };
  return new RequestError(INTERNAL_ERROR, data.status === null ? data.message : `The model answered ${data.status}: ${data.message}`, data);
}

/** The SDK wraps what was retried; the last attempt is what counts. */
function rootCause(error: unknown): unknown {
  return error instanceof Error && 'lastError' in error && error.lastError !== undefined ? error.lastError : error;
}

/** Failures inside a stream carry the status that the provider's own words mean. */
function statusOf(error: unknown): number | null {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : null;
}

/** Errors inside a stream are whatever the provider sent. */
function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  if (typeof error === 'string') return error;
  if (typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string') return error.message;
  return JSON.stringify(error) ?? 'unknown failure';
}

function retryAfter(headers: Readonly<Record<string, string>>): number | null {
  const ms = Number.parseFloat(headers['retry-after-ms'] ?? '');
  if (ms >= 0) return ms;
  const value = headers['retry-after'];
  if (value === undefined) return null;
  const seconds = Number(value);
  const delay = Number.isNaN(seconds) ? Date.parse(value) - Date.now() : seconds * 1000;
  return Number.isNaN(delay) ? null : Math.max(0, Math.round(delay));
}
