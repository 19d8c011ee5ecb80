import { ApiError } from './failure.ts';
import type { LogEvent } from './transcript.ts';

export interface SessionInfo {
  readonly id: string;
  readonly title: string | null;
  readonly status: 'idle' | 'running' | 'rescheduling' | 'terminated';
  readonly agent: { readonly name: string; readonly model: { readonly id: string } };
  readonly usage: { readonly input_tokens?: number; readonly output_tokens?: number; readonly cache_read_input_tokens?: number };
  readonly updated_at: string;
  readonly archived_at: string | null;
}

export interface ServerStatus {
  readonly health: 'healthy' | 'degraded' | 'unhealthy';
  readonly version: string;
  readonly runtime: string;
  readonly model: string;
  readonly harness: string;
  readonly isDemo: boolean;
}

export type Backend = ReturnType<typeof createBackend>;

export function createBackend(key: string) {
  const call = async (method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> => {
    const response = await fetch(path, {
      method,
      headers: { 'x-api-key': key, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (response.ok) return response;
    const { error, request_id } = await response.json();
    throw new ApiError(response.status, { ...error, requestId: request_id });
  };
  const get = async (path: string) => (await call('GET', path)).json();
  return {
    async status(): Promise<ServerStatus> {
      return get('/v1/status');
    },
    async listAgents(): Promise<{ id: string; name: string }[]> {
      return (await get('/v1/agents?limit=100')).data;
    },
    async listEnvironments(): Promise<{ id: string; name: string }[]> {
      return (await get('/v1/environments?limit=100')).data;
    },
    async listSessions({ limit }: { limit: number }): Promise<{ data: SessionInfo[]; hasMore: boolean }> {
      const page = await get(`/v1/sessions?limit=${limit}`);
      return { data: page.data, hasMore: page.next_page !== null };
    },
    async getSession(id: string): Promise<SessionInfo> {
      return get(`/v1/sessions/${id}`);
    },
    async createSession(input: { agent: string; environment: string; title: string }): Promise<SessionInfo> {
      return (
        await call('POST', '/v1/sessions', { agent: input.agent, environment_id: input.environment, title: input.title || null })
      ).json();
    },
    async send(id: string, event: LogEvent): Promise<LogEvent[]> {
      return (await (await call('POST', `/v1/sessions/${id}/events`, { events: [event] })).json()).data;
    },
    async listEvents(
      id: string,
      input: { limit: number; page?: string | undefined },
    ): Promise<{ data: LogEvent[]; next: string | undefined }> {
      const page = await get(`/v1/sessions/${id}/events?order=desc&limit=${input.limit}${input.page ? `&page=${input.page}` : ''}`);
      return { data: page.data, next: page.next_page ?? undefined };
    },
    async *stream(id: string, input: { after: number; signal: AbortSignal }): AsyncGenerator<LogEvent> {
      let after = input.after;
      for (;;) {
        try {
          const response = await call(
            'GET',
            `/v1/sessions/${id}/events/stream?after=${after}&event_deltas[]=agent.message`,
            undefined,
            input.signal,
          );
          let buffer = '';
          for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
            buffer += chunk;
            const parts = buffer.split('\n\n');
            buffer = parts.pop() ?? '';
            for (const part of parts) {
              const data = part.split('\n').find((line) => line.startsWith('data:'));
              if (data === undefined) continue;
              const event = JSON.parse(data.slice(5));
              if (typeof event.seq === 'number') after = event.seq;
              yield event;
            }
          }
        } catch (error) {
          if (input.signal.aborted) return;
          if (error instanceof ApiError) throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    },
  };
}
