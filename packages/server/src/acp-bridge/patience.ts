import { ClientError } from '@cloister/api';
import { type Clock, delay } from '../base/clock.ts';

const PAUSE_MS = 500;
const PATIENCE_MS = 60_000;

/** Does it again while the server is away or asks to wait, so that its restart is no failure. What it does must bear repetition. */
export async function persist<T>(clock: Clock, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  const until = clock.monotonic() + PATIENCE_MS;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (signal.aborted || !mayPass(error) || clock.monotonic() > until) throw error;
    }
    await delay(clock, PAUSE_MS, signal);
  }
}

/** `fetch` fails with a TypeError when nothing answers. */
function mayPass(error: unknown): boolean {
  if (error instanceof ClientError) return error.status === 429 || error.status === 502 || error.status === 503 || error.status === 504;
  return error instanceof TypeError;
}
