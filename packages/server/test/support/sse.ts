import { createSseParser, type ServerSentEvent } from '@cloister/api';
import type { TestServer, Wire } from './server.ts';

export interface OpenStream extends AsyncDisposable {
  readonly status: number;
  /** Reads until `enough` says so, the stream ends, or the time is over. Throws what cut it. */
  readUntil(enough: (event: Wire, all: readonly Wire[]) => boolean): Promise<readonly Wire[]>;
  /** Ends when the server ends it. */
  readToEnd(): Promise<readonly Wire[]>;
}

const READ_TIMEOUT_MS = 20_000;

/** Opens a session's stream; events come with their SSE id as `sseId`. */
export async function openStream(
  server: TestServer,
  sessionId: string,
  input: { readonly query?: string; readonly lastEventId?: number } = {},
): Promise<OpenStream> {
  const stop = new AbortController();
  const response = await server.request('GET', `/v1/sessions/${sessionId}/events/stream${input.query ?? ''}`, {
    headers: input.lastEventId === undefined ? {} : { 'last-event-id': String(input.lastEventId) },
    signal: AbortSignal.any([stop.signal, AbortSignal.timeout(READ_TIMEOUT_MS)]),
  });
  const reader = response.body?.getReader();
  if (reader === undefined) throw new Error('a stream without a body');
  const parser = createSseParser();
  const decoder = new TextDecoder();
  const waiting: Wire[] = [];
  const toWire = ({ id, event, data }: ServerSentEvent): Wire => ({ ...JSON.parse(data), sseId: id, sseEvent: event });

  async function readUntil(enough: (event: Wire, all: readonly Wire[]) => boolean): Promise<readonly Wire[]> {
    const seen: Wire[] = [];
    for (;;) {
      for (let event = waiting.shift(); event !== undefined; event = waiting.shift()) {
        seen.push(event);
        if (enough(event, seen)) return seen;
      }
      const next = await reader?.read();
      if (next === undefined || next.done) return seen;
      waiting.push(...parser.push(decoder.decode(next.value, { stream: true })).map(toWire));
    }
  }

  return {
    status: response.status,
    readUntil,
    readToEnd: () => readUntil(() => false),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await reader.cancel().catch(() => undefined);
    },
  };
}
