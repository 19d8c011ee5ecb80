import { createSseParser } from '../../packages/api/src/index.ts';
import type { Tenant } from './tenant.ts';

/** Follows one session, and tells when its turn was claimed, when the first piece of the answer came, and when it ended. */
export interface ChunkWatch extends AsyncDisposable {
  /** The next turn that ends, to each caller another one; as times of `performance.now`, NaN for what did not come. */
  next(): Promise<TurnTimes>;
}

interface TurnTimes {
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
  const ended: TurnTimes[] = [];
  const waiting: PromiseWithResolvers<TurnTimes>[] = [];
  let claimedAt: number | undefined;
  let firstAt: number | undefined;
  let failure: unknown;
  const onFrame = (name: string | undefined): void => {
    if (name === 'session.status_running') claimedAt ??= performance.now();
    if (name === 'event_delta') firstAt ??= performance.now();
    if (name !== 'turn.ended') return;
    const times = { claimedAt: claimedAt ?? Number.NaN, firstAt: firstAt ?? Number.NaN, endedAt: performance.now() };
    claimedAt = undefined;
    firstAt = undefined;
    const first = waiting.shift();
    if (first === undefined) ended.push(times);
    else first.resolve(times);
  };
  const reading = readFrames(response.body, onFrame).catch((error: unknown) => {
    failure = error;
    for (const one of waiting.splice(0)) one.reject(error);
  });
  return {
    async next() {
      const known = ended.shift();
      if (known !== undefined) return known;
      if (failure !== undefined) throw failure;
      const mine = Promise.withResolvers<TurnTimes>();
      waiting.push(mine);
      const timer = setTimeout(() => mine.reject(new Error(`no turn ended within ${PATIENCE_MS} ms`)), PATIENCE_MS);
      return mine.promise.finally(() => clearTimeout(timer));
    },
    async [Symbol.asyncDispose]() {
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
