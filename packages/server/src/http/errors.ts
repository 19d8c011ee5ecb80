import { type ErrorEnvelope, PROBLEM_KINDS, PROBLEMS, type ProblemDocument } from '@cloister/api';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { type PlatformError, toPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { redactKnown } from '../base/redaction/redaction.ts';
import type { HttpAdapter } from './adapters/support.ts';
import type { AppContext } from './context.ts';

/** Waits that retryable errors name when they do not know better. */
const DEFAULT_RETRY_AFTER_MS = 5000;

/** Renders any error: the published envelope, that of the adapter whose route it is, or RFC 9457 for a client that asks for it. Our own bugs are logged here, once, and say no more than that. */
export function renderError(c: AppContext, thrown: unknown, log: Logger, adapter?: Pick<HttpAdapter, 'renderError'>): Response {
  const error = toPlatformError(thrown);
  const requestId = c.get('requestId');
  if (error.code === 'bug')
    log.error({ err: thrown, requestId, method: c.req.method, path: c.req.path }, 'a request failed for a reason of our own');
  const { status } = PROBLEM_KINDS[PROBLEMS[error.code].kind];
  const retryAfterMs = retryAfter(error, status);
  if (retryAfterMs !== undefined) c.header('Retry-After', String(Math.ceil(retryAfterMs / 1000)));
  if (error.code === 'credentials_missing' || error.code === 'credentials_invalid') c.header('WWW-Authenticate', 'Bearer realm="cloister"');
  // A caller that has not been read to its end cannot use the connection again.
  if (error.code === 'message_too_large' || error.code === 'body_timeout') c.header('Connection', 'close');
  const code = status as ContentfulStatusCode;
  if ((c.req.header('accept') ?? '').includes('application/problem+json')) {
    c.header('Content-Type', 'application/problem+json');
    return c.body(JSON.stringify(toProblemDocument(error, requestId, retryAfterMs)), code);
  }
  const envelope = toEnvelope(error, requestId, retryAfterMs);
  if (adapter === undefined) return c.json(envelope, code);
  const rendered = adapter.renderError({ status, error: envelope.error, requestId });
  for (const [name, value] of Object.entries(rendered.headers ?? {})) c.header(name, value);
  return c.json(rendered.body, rendered.status as ContentfulStatusCode);
}

function retryAfter(error: PlatformError, status: number): number | undefined {
  return error.retryAfterMs ?? (status === 429 || status === 503 || status === 507 ? DEFAULT_RETRY_AFTER_MS : undefined);
}

export function toEnvelope(error: PlatformError, requestId: string, retryAfterMs: number | undefined): ErrorEnvelope {
  const { kind, fix, retry } = PROBLEMS[error.code];
  return {
    type: 'error',
    error: {
      type: PROBLEM_KINDS[kind].type,
      message: redactKnown(error.detail),
      code: error.code,
      fix,
      retryable: retry === 'backoff',
      ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
      ...(error.fields.length === 0 ? {} : { errors: redactedFields(error) }),
    },
    request_id: requestId,
  };
}

function redactedFields({ fields }: PlatformError): { pointer: string; message: string }[] {
  return fields.map(({ pointer, message }) => ({ pointer: redactKnown(pointer), message: redactKnown(message) }));
}

function toProblemDocument(error: PlatformError, requestId: string, retryAfterMs: number | undefined): ProblemDocument {
  const { kind, title, fix, retry } = PROBLEMS[error.code];
  return {
    type: `/docs/problems/${error.code}`,
    title,
    status: PROBLEM_KINDS[kind].status,
    detail: redactKnown(error.detail),
    instance: `/requests/${requestId}`,
    code: error.code,
    fix,
    retryable: retry === 'backoff',
    ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
    ...(error.fields.length === 0 ? {} : { errors: redactedFields(error) }),
  };
}
