/** What kinds of failure there are, each with what HTTP and the published shape call it. */
export const PROBLEM_KINDS = {
  invalid: { status: 400, type: 'invalid_request_error' },
  unauthenticated: { status: 401, type: 'authentication_error' },
  forbidden: { status: 403, type: 'permission_error' },
  not_found: { status: 404, type: 'not_found_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  conflict: { status: 409, type: 'conflict_error' },
  gone: { status: 410, type: 'not_found_error' },
  too_slow: { status: 408, type: 'invalid_request_error' },
  too_large: { status: 413, type: 'request_too_large' },
  unsupported_media: { status: 415, type: 'invalid_request_error' },
  range_unsatisfiable: { status: 416, type: 'invalid_request_error' },
  unprocessable: { status: 422, type: 'invalid_request_error' },
  exhausted: { status: 429, type: 'rate_limit_error' },
  internal: { status: 500, type: 'api_error' },
  not_implemented: { status: 501, type: 'api_error' },
  upstream: { status: 502, type: 'api_error' },
  unavailable: { status: 503, type: 'overloaded_error' },
  timeout: { status: 504, type: 'timeout_error' },
  storage_full: { status: 507, type: 'api_error' },
} as const;

export type ProblemKind = keyof typeof PROBLEM_KINDS;
export type RetryClass = 'never' | 'change' | 'backoff' | 'ask';

export interface ProblemDefinition {
  readonly kind: ProblemKind;
  readonly retry: RetryClass;
  /** Constant per code: what happened, in one plain sentence without the particulars. */
  readonly title: string;
  /** One imperative sentence: what to do about it. */
  readonly fix: string;
}

/** A row of the table. */
export function p(kind: ProblemKind, retry: RetryClass, title: string, fix: string): ProblemDefinition {
  return { kind, retry, title, fix };
}
