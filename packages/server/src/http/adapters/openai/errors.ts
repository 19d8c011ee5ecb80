import { z } from 'zod';
import type { AdapterProblem, RenderedError } from '../support.ts';

/** OpenAI's envelope. Ours has the same place for it, so what is more there is kept. */
export const openAiErrorSchema = z.object({
  type: z.literal('error'),
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
    problem: z.string().describe('The code of /docs/problems; extension'),
    fix: z.string(),
    retryable: z.boolean(),
    retry_after_ms: z.int().optional(),
    errors: z.array(z.object({ pointer: z.string(), message: z.string() })).optional(),
  }),
  request_id: z.string(),
});

type OpenAiError = z.infer<typeof openAiErrorSchema>;

/** Codes that OpenAI's clients look for; all others keep our own. */
const CODES: Readonly<Record<string, string>> = {
  credentials_missing: 'invalid_api_key',
  credentials_invalid: 'invalid_api_key',
  agent_not_found: 'model_not_found',
  agent_archived: 'model_not_found',
  rate_limited: 'rate_limit_exceeded',
  capability_unsupported: 'unsupported_parameter',
};

const TYPES: Readonly<Record<number, string>> = {
  401: 'invalid_request_error',
  403: 'permission_error',
  429: 'rate_limit_error',
};

export function openAiError({ status, error, requestId }: AdapterProblem): RenderedError {
  // What is published, and not here, is a request with a wrong parameter to OpenAI's clients.
  const shown = status === 422 ? 400 : status;
  return {
    status: shown,
    body: { type: 'error', error: toError(shown, error), request_id: requestId } satisfies OpenAiError,
    headers: {
      'x-request-id': requestId,
      // OpenAI's clients send again on their own after some statuses; whether that may help is known here.
      'x-should-retry': String(error.retryable),
      ...(error.retry_after_ms === undefined ? {} : { 'retry-after-ms': String(error.retry_after_ms) }),
    },
  };
}

/** The inside of the envelope, as streams carry it too. */
export function toError(status: number, { code, ...error }: AdapterProblem['error']): OpenAiError['error'] {
  return {
    ...error,
    type: TYPES[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error'),
    param: paramOf(error.errors?.[0]?.pointer),
    code: CODES[code] ?? code,
    problem: code,
  };
}

/** `/messages/0/content` is `messages[0].content` to them. */
function paramOf(pointer: string | undefined): string | null {
  if (pointer === undefined || pointer === '') return null;
  const [first = '', ...rest] = pointer.replace(/^\//, '').split('/');
  return first + rest.map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`)).join('');
}
