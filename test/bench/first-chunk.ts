import { createSseParser } from '../../packages/api/src/index.ts';
import type { Platform } from './platform.ts';

/** Follows one session, and tells when the first piece of an answer came and when its turn ended. */
export interface ChunkWatch extends AsyncDisposable {
  /** What comes next: the times (of `performance.now`) of the first piece, and of the end of the turn. */
  next(): Promise<{ readonly firstAt: number; readonly endedAt: number }>;
}

const PATIENCE_MS = 60_000;

export async function watchChunks(platform: Platform, sessionId: string): Promise<ChunkWatch> {
  const stop = new AbortController();
  const response = await fetch(`${platform.url}/v1/sessions/${sessionId}/events/stream?after=0&event_deltas[]=agent.message`, {
    headers: { 'x-api-key': platform.key },
    signal: stop.signal,
  });
  if (!response.ok || response.body === null) throw new Error(`the stream was answered with ${response.status}`);
  let waiting = Promise.withResolvers<{ firstAt: number; endedAt: number }>();
  let firstAt: number | undefined;
  const onFrame = (name: string | undefined): void => {
    if (name === 'event_delta') firstAt ??= performance.now();
    if (name !== 'turn.ended') return;
    waiting.resolve({ firstAt: firstAt ?? Number.NaN, endedAt: performance.now() });
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
