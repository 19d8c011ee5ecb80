import { type Json, type PageOf, pathOf, type Query, type Request } from './client-calls.ts';
import { createSseParser } from './sse.ts';
import type { Service, ServiceCreate, ServiceEvent, ServiceLogLine, ServiceStats } from './wire/services.ts';

export function servicesOf(request: Request, json: Json) {
  return {
    list: (query: Query = {}) => json<PageOf<Service>>('GET', '/v1/services', { query }),
    get: (id: string) => json<Service>('GET', pathOf('services', id)),
    create: (body: ServiceCreate) => json<Service>('POST', '/v1/services', { body }),
    start: (id: string) => json<Service>('POST', pathOf('services', id, 'start')),
    stop: (id: string) => json<Service>('POST', pathOf('services', id, 'stop')),
    restart: (id: string) => json<Service>('POST', pathOf('services', id, 'restart')),
    remove: (id: string) => json<Service>('DELETE', pathOf('services', id)),
    events: (id: string, query: Query = {}) => json<PageOf<ServiceEvent>>('GET', pathOf('services', id, 'events'), { query }),
    /** Its last lines, and with `follow` the new ones until its container ends. */
    logs: (id: string, query: { readonly tail?: number; readonly follow?: boolean } = {}, signal?: AbortSignal) =>
      readFrames<ServiceLogLine>(request('GET', pathOf('services', id, 'logs'), { query, signal })),
    /** What it uses, about once a second, until its container ends. */
    stats: (id: string, signal?: AbortSignal) => readFrames<ServiceStats>(request('GET', pathOf('services', id, 'stats'), { signal })),
  };
}

/** The data of each frame of a stream that is not resumed. The server's frames are its own schemas', checked by its tests. */
async function* readFrames<T>(answer: Promise<Response>): AsyncGenerator<T> {
  const parser = createSseParser();
  const decoder = new TextDecoder();
  const reader = (await answer).body?.getReader();
  if (reader === undefined) return;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read())
      for (const { data } of parser.push(decoder.decode(next.value, { stream: true }))) yield JSON.parse(data) as T;
  } finally {
    await reader.cancel();
  }
}
