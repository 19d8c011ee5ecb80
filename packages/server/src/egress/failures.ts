import type { ProblemCode } from '@cloister/api';
import { redact } from '../base/redaction/redaction.ts';
import type { ModelFailure } from './gateway.ts';
import { isRecord, parseJson, textAt } from './json.ts';
import type { ProviderError } from './wires/wire.ts';

const MAX_MESSAGE = 300;

/** Providers' own words for an error, in a stream or in a body. */
const CODES_BY_TYPE: Readonly<Record<string, ProblemCode>> = {
  authentication_error: 'model_authentication_failed',
  permission_error: 'model_authentication_failed',
  invalid_api_key: 'model_authentication_failed',
  UNAUTHENTICATED: 'model_authentication_failed',
  PERMISSION_DENIED: 'model_authentication_failed',
  rate_limit_error: 'model_rate_limited',
  rate_limit_exceeded: 'model_rate_limited',
  insufficient_quota: 'model_rate_limited',
  RESOURCE_EXHAUSTED: 'model_rate_limited',
  overloaded_error: 'model_overloaded',
  overloaded: 'model_overloaded',
  server_overloaded: 'model_overloaded',
  UNAVAILABLE: 'model_overloaded',
  invalid_request_error: 'model_request_rejected',
  not_found_error: 'model_request_rejected',
  request_too_large: 'model_request_rejected',
  context_length_exceeded: 'model_request_rejected',
  model_not_found: 'model_request_rejected',
  INVALID_ARGUMENT: 'model_request_rejected',
  NOT_FOUND: 'model_request_rejected',
};

export function codeOfStatus(status: number): ProblemCode {
  if (status === 401 || status === 403) return 'model_authentication_failed';
  if (status === 429) return 'model_rate_limited';
  if (status === 529 || status === 503) return 'model_overloaded';
  return status >= 400 && status < 500 && status !== 408 ? 'model_request_rejected' : 'model_api_failed';
}

/** What an answer with an error status means. `body` is its beginning. */
export function failureOfAnswer(status: number, headers: Readonly<Record<string, unknown>>, body: string, now: number): ModelFailure {
  const own = providerMessage(body);
  return {
    code: codeOfStatus(status),
    message: shorten(own === undefined ? `The provider answered ${status}.` : `The provider answered ${status}: ${own}`),
    status,
    retryAfterMs: retryAfterMs(headers, body, now),
  };
}

/** What an error event in the middle of a stream means. */
export function failureOfEvent(error: ProviderError): ModelFailure {
  const status = /^\d{3}$/.test(error.type) ? Number(error.type) : null;
  const code = status === null ? (CODES_BY_TYPE[error.type] ?? 'model_api_failed') : codeOfStatus(status);
  const words = error.message === '' ? error.type : `${error.type}: ${error.message}`;
  return { code, message: shorten(`The provider broke off its answer: ${words}`), status, retryAfterMs: null };
}

function providerMessage(body: string): string | undefined {
  const parsed = parseJson(body);
  const first: unknown = Array.isArray(parsed) ? parsed[0] : parsed;
  if (!isRecord(first)) return undefined;
  return textAt(first, 'error', 'message') ?? textAt(first, 'message') ?? textAt(first, 'error') ?? textAt(first, 'detail');
}

function retryAfterMs(headers: Readonly<Record<string, unknown>>, body: string, now: number): number | null {
  const precise = Number(headers['retry-after-ms'] ?? Number.NaN);
  if (Number.isFinite(precise) && precise >= 0) return Math.ceil(precise);
  const header = headers['retry-after'];
  if (typeof header === 'string') {
    const seconds = Number(header);
    if (Number.isFinite(seconds)) return Math.max(0, Math.ceil(seconds * 1000));
    const date = Date.parse(header);
    if (!Number.isNaN(date)) return Math.max(0, date - now);
  }
  const delay = /"retryDelay":\s*"(\d+(?:\.\d+)?)s"/.exec(body)?.[1];
  return delay === undefined ? null : Math.ceil(Number(delay) * 1000);
}

function shorten(message: string): string {
  const line = redact(message).replace(/\s+/g, ' ').trim();
  return line.length > MAX_MESSAGE ? `${line.slice(0, MAX_MESSAGE)}…` : line;
}
