import type { Failure } from './transcript.ts';

export class ApiError extends Error {
  readonly status: number;
  readonly body: Failure & { readonly requestId: string | undefined };
  constructor(status: number, body: Failure & { readonly requestId: string | undefined }) {
    super(body.message);
    this.status = status;
    this.body = body;
  }
}

export function isKeyRefused(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

export function explain(error: unknown): Failure & { readonly requestId?: string | undefined } {
  if (error instanceof ApiError) return error.body;
  if (error instanceof TypeError)
    return { code: 'unreachable', message: 'The server does not answer.', fix: 'Check that it runs; this page tries again by itself.' };
  return { code: 'bug', message: 'The page met something it did not expect.', fix: 'Reload the page.' };
}
