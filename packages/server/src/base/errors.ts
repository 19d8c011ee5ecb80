import { isProblemCode, PROBLEMS, type ProblemCode, type RetryClass } from '@cloister/api';

export interface FieldError {
  /** JSON pointer to the field, or its name for query parameters and headers. */
  readonly pointer: string;
  readonly message: string;
}

export interface PlatformErrorOptions {
  /** This occurrence in plain words, safe to show to the caller; never the cause's own text. */
  readonly detail?: string;
  readonly fields?: readonly FieldError[];
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** The one error class: what went wrong is its `code`, a row of the table in `@cloister/api`. */
export class PlatformError extends Error {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly fields: readonly FieldError[];
  readonly retryAfterMs: number | undefined;

  constructor(code: ProblemCode, options: PlatformErrorOptions = {}) {
    super(options.detail ?? PROBLEMS[code].title, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PlatformError';
    this.code = code;
    this.detail = options.detail ?? PROBLEMS[code].title;
    this.fields = options.fields ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }

  get retry(): RetryClass {
    return PROBLEMS[this.code].retry;
  }
}

export function isPlatformError(error: unknown, code?: ProblemCode): error is PlatformError {
  return error instanceof PlatformError && isProblemCode(error.code) && (code === undefined || error.code === code);
}

/** Leaves a platform error as it is; anything else is our own bug and becomes one with its cause kept. */
export function toPlatformError(error: unknown): PlatformError {
  return isPlatformError(error) ? error : new PlatformError('bug', { cause: error });
}

/** Asserts what must be true if our own code is right. */
export function invariant(condition: unknown, why: string): asserts condition {
  if (!condition) throw new PlatformError('bug', { cause: new Error(`invariant broken: ${why}`) });
}
