import { setTimeout as sleep } from 'node:timers/promises';
import { createSseParser, type SessionEvent } from '../../packages/api/src/index.ts';
import type { Endpoints } from './endpoints.ts';

export interface SessionStream {
  readonly events: readonly SessionEvent[];
  /** Why it cannot go on; null while it can. */
  failure(): string | null;
  connections(): number;
  close(): Promise<void>;
}

const RECONNECT_MS = 15;

/** Follows a session over all lives of all servers, by nothing but the last id it saw. Keeps what comes as it comes. */
export function followSession(input: {
  readonly endpoints: Endpoints;
  readonly key: string;
  readonly sessionId: string;
  /** A connection that brings nothing for this long is given up for another one. */
  readonly silenceMs: number;
  readonly onEvent: (event: SessionEvent) => void;
}): SessionStream {
  const events: SessionEvent[] = [];
  const stop = new AbortController();
  let connections = 0;
  let lastId = '0';
  let failure: string | null = null;

  async function connect(): Promise<void> {
    const silence = new AbortController();
    const alarm = setTimeout(() => silence.abort(), input.silenceMs);
    try {
      await read(AbortSignal.any([stop.signal, silence.signal]), () => alarm.refresh());
    } finally {
      clearTimeout(alarm);
    }
  }

  async function read(signal: AbortSignal, onChunk: () => void): Promise<void> {
    const response = await fetch(`${input.endpoints.current()}/v1/sessions/${input.sessionId}/events/stream`, {
      headers: { 'x-api-key': input.key, 'last-event-id': lastId },
      signal,
    });
    if (!response.ok || response.body === null) {
      if (response.status < 500 && response.status !== 429) failure = `the server answered ${response.status}`;
      return;
    }
    connections += 1;
    const parser = createSseParser();
    const decoder = new TextDecoder();
    for await (const chunk of response.body) {
      onChunk();
      for (const { id, data } of parser.push(decoder.decode(chunk, { stream: true }))) {
        if (id === undefined) continue;
        lastId = id;
        const event = parseEvent(data);
        events.push(event);
        input.onEvent(event);
      }
    }
  }

  async function run(): Promise<void> {
    while (!stop.signal.aborted && failure === null) {
      // A connection that the kill cut, or that found nobody: the next one goes on where it ended.
      await connect().catch(() => undefined);
      input.endpoints.rotate();
      await sleep(RECONNECT_MS);
    }
  }

  const running = run();
  return {
    events,
    failure: () => failure,
    connections: () => connections,
    async close() {
      stop.abort();
      await running;
    },
  };
}

function parseEvent(data: string): SessionEvent {
  // What the server's own schemas describe; the checker compares it with the log.
  return JSON.parse(data) as SessionEvent;
}
