import { ClientError } from '@cloister/api';

/** What went wrong, as the page says it. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly fix?: string | undefined;
  readonly requestId?: string | undefined;
}

export function isKeyRefused(error: unknown): boolean {
  return error instanceof ClientError && error.status === 401;
}

export function explain(error: unknown): Failure {
  if (error instanceof ClientError)
    return { code: error.code ?? `HTTP ${error.status}`, message: error.message, fix: error.fix, requestId: error.requestId };
  // What fetch throws when nothing answers.
  if (error instanceof TypeError)
    return { code: 'unreachable', message: 'The server does not answer.', fix: 'Check that it runs; the page tries again by itself.' };
  console.error(error);
  return { code: 'bug', message: 'The page met something it did not expect.', fix: 'Reload it; the browser console says more.' };
}
