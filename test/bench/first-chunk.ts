import { createSseParser } from '../../packages/api/src/index.ts';
import type { Tenant } from './tenant.ts';

/** Follows one session, and tells when its turn was claimed, when the first piece of the answer came, and when it ended. */
export interface ChunkWatch extends AsyncDisposable {
  /** What comes next, as times of `performance.now`; NaN for what did not come. */
  next(): Promise<TurnTimes>;
}

export interface TurnTimes {
  readonly claimedAt: number;
  readonly firstAt: number;
  readonly endedAt: number;
}

const PATIENCE_MS = 60_000;

export async function watchChunks({ url, key }: Pick<Tenant, 'url' | 'key'>, sessionId: string): Promise<ChunkWatch> {
  const stop = new AbortController();
  const response = await fetch(`${url}/v1/sessions/${sessionId}/events/stream?after=0&event_deltas[]=agent.message`, {
    headers: { 'x-api-key': key },
    signal: stop.signal,
  });
  if (!response.ok || response.body === null) throw new Error(`the stream was answered with ${response.status}`);
  let waiting = Promise.withResolvers<TurnTimes>();
  let claimedAt: number | undefined;
  let firstAt: number | undefined;
  const onFrame = (name: string | undefined): void => {
    if (name === 'session.status_running') claimedAt ??= performance.now();
    if (name === 'event_delta') firstAt ??= performance.now();
    if (name !== 'turn.ended') return;
    waiting.resolve({ claimedAt: claimedAt ?? Number.NaN, firstAt: firstAt ?? Number.NaN, endedAt: performance.now() });
    claimedAt = undefined;
    firstAt = undefined;
  };
  const reading = readFrames(response.body, onFrame).catch((error: unknown) => waiting.reject(error));
  return {
    async next() {
      const timer = setTimeout(() => waiting.reject(new Error(`no turn ended within ${PATIENCE_MS} ms`)), PATIENCE_MS);
      try {
        return await waiting.promise;
      } finally {
        clearTimeout(timer);
        waiting = Promise.withResolvers();
      }
    },
    async [Symbol.asyncDispose]() {
      waiting.promise.catch(() => undefined);
      stop.abort();
      await reading;
    },
  };
}

async function readFrames(body: ReadableStream<Uint8Array>, onFrame: (name: string | undefined) => void): Promise<void> {
  const parser = createSseParser();
  const decoder = new TextDecoder();
  for await (const chunk of body) for (const { event } of parser.push(decoder.decode(chunk, { stream: true }))) onFrame(event);
}
