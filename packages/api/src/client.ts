import { accessOf } from './client-access.ts';
import { approvalsOf, auditOf } from './client-approvals.ts';
import { type Json, type PageOf, pathOf, type Query, type Request, type RequestInput } from './client-calls.ts';
import { contentsOf } from './client-contents.ts';
import { filesOf, snapshotsOf } from './client-files.ts';
import { servicesOf } from './client-services.ts';
import { spendingOf } from './client-spending.ts';
import { keysOf, vaultsOf } from './client-vaults.ts';
import { createSseParser, type ServerSentEvent } from './sse.ts';
import type { Agent, AgentCreate, AgentUpdate } from './wire/agents.ts';
import type { EgressDecision } from './wire/egress.ts';
import type { Environment, EnvironmentCreate, EnvironmentUpdate } from './wire/environments.ts';
import type { ErrorEnvelope } from './wire/errors.ts';
import type { EventParam, EventSendResponse, Preview, SessionEvent, StreamReset } from './wire/events.ts';
import type { ForkedSession, SessionFork, Workspace } from './wire/files.ts';
import type { Health, Sandbox, Status } from './wire/health.ts';
import type { Session, SessionCreateInput, SessionUpdate } from './wire/sessions.ts';
import type { Turn } from './wire/turns.ts';
import type { Webhook, WebhookCreate, WebhookDelivery, WebhookUpdate, WebhookWithSecret } from './wire/webhooks.ts';

export interface ClientOptions {
  /** Such as `http://127.0.0.1:3000`; empty for the page's own origin. */
  readonly url: string;
  readonly key: string | undefined;
  /** Of a page whose browser has signed in: sends what proves that the page itself asks. */
  readonly hasCookie?: boolean;
  readonly fetch?: typeof fetch;
}

export type { PageOf } from './client-calls.ts';

export type StreamItem =
  | { readonly type: 'event'; readonly event: SessionEvent }
  | { readonly type: 'preview'; readonly preview: Preview }
  /** What comes before `firstSeq` is no longer kept, and some of it was asked for. */
  | { readonly type: 'reset'; readonly firstSeq: number };

/** The server answered an error, with its code and fix; or something else answered in its place. */
export class ClientError extends Error {
  readonly status: number;
  readonly code: string | undefined;
  readonly fix: string | undefined;
  readonly requestId: string | undefined;

  constructor(status: number, envelope: ErrorEnvelope | undefined) {
    super(envelope?.error.message ?? `The server answered ${status} without a reason.`);
    this.name = 'ClientError';
    this.status = status;
    this.code = envelope?.error.code;
    this.fix = envelope?.error.fix;
    this.requestId = envelope?.request_id;
  }
}

/** How long a stream waits before it connects again. */
const RECONNECT_MS = 500;
/** The server writes something every 15 s; a connection that is silent for longer is lost, though nobody has said so. */
const SILENCE_MS = 45_000;

export type Client = ReturnType<typeof createClient>;

function createRequest(options: ClientOptions): Request {
  const send = options.fetch ?? fetch;
  return async (method, path, input = {}) => {
    const response = await send(`${options.url}${path}${queryString(input.query ?? {})}`, {
      method,
      headers: {
        ...(options.key === undefined ? {} : { 'x-api-key': options.key }),
        ...(options.hasCookie === true ? { 'x-cloister-csrf': '1' } : {}),
        ...(input.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(input.raw === undefined ? {} : { 'content-type': 'application/octet-stream' }),
        ...input.headers,
      },
      ...(input.body === undefined ? {} : { body: JSON.stringify(input.body) }),
      ...(input.raw === undefined ? {} : { body: input.raw }),
      ...(input.form === undefined ? {} : { body: input.form }),
      ...(input.signal === undefined ? {} : { signal: input.signal }),
    });
    if (!response.ok && response.status !== input.accepts) throw new ClientError(response.status, parseEnvelope(await response.text()));
    return response;
  };
}

export interface StreamInput {
  /** Events with a greater seq are wanted. */
  readonly after: number;
  readonly deltas?: readonly ('agent.message' | 'agent.thinking')[];
  readonly signal?: AbortSignal;
}

/** One connection's items, until it ends or is lost. */
async function* readStream(request: Request, sessionId: string, input: StreamInput): AsyncGenerator<StreamItem> {
  const silence = createSilenceAlarm();
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  try {
    silence.restart();
    const response = await request('GET', pathOf('sessions', sessionId, 'events', 'stream'), {
      query: { after: input.after, 'event_deltas[]': input.deltas ?? [] },
      signal: input.signal === undefined ? silence.signal : AbortSignal.any([input.signal, silence.signal]),
    });
    const parser = createSseParser();
    const decoder = new TextDecoder();
    reader = response.body?.getReader();
    if (reader === undefined) return;
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      // Whoever takes the items may take their time: only waiting for the server counts as silence.
      silence.stop();
      for (const frame of parser.push(decoder.decode(next.value, { stream: true }))) yield toItem(frame);
      silence.restart();
    }
  } finally {
    silence.stop();
    await reader?.cancel().catch(() => undefined);
  }
}

/** The server's frames are its own schemas', checked by its tests. */
function toItem({ id, event, data }: ServerSentEvent): StreamItem {
  const value: unknown = JSON.parse(data);
  if (event === 'stream.reset') return { type: 'reset', firstSeq: (value as StreamReset).first_seq };
  return id === undefined ? { type: 'preview', preview: value as Preview } : { type: 'event', event: value as SessionEvent };
}

function createSilenceAlarm(): { readonly signal: AbortSignal; restart(): void; stop(): void } {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => clearTimeout(timer);
  return {
    signal: controller.signal,
    stop,
    restart() {
      stop();
      timer = setTimeout(() => controller.abort(), SILENCE_MS);
    },
  };
}

/** The session's events after `after`, then live, across lost connections; ends when the session is deleted or the signal is aborted. */
async function* followStream(request: Request, sessionId: string, input: StreamInput): AsyncGenerator<StreamItem> {
  let after = input.after;
  while (!input.signal?.aborted) {
    try {
      for await (const item of readStream(request, sessionId, { ...input, after })) {
        if (item.type === 'event') after = item.event.seq;
        if (item.type === 'reset') after = item.firstSeq - 1;
        yield item;
        if (item.type === 'event' && item.event.type === 'session.deleted') return;
      }
    } catch (error) {
      if (input.signal?.aborted) return;
      if (error instanceof ClientError && error.status < 500 && error.status !== 429) throw error;
    }
    await pause(RECONNECT_MS, input.signal);
  }
}

/** A small typed client; needs nothing but `fetch`. Failed calls throw `ClientError`, or fetch's own error when nothing answers. */
export function createClient(options: ClientOptions) {
  const request = createRequest(options);
  const json: Json = async <T>(...args: Parameters<Request>) => (await (await request(...args)).json()) as T;

  return {
    /** Also answers when the server says that it cannot serve, with the reasons in `checks`. */
    health: () => json<Health>('GET', '/health', { accepts: 503 }),
    status: () => json<Status>('GET', '/v1/status'),
    /** The live ones of our sessions, on the server that answers. */
    sandboxes: () => json<PageOf<Sandbox>>('GET', '/v1/sandboxes'),
    /** Stops one that no turn uses; its session goes on. */
    removeSandbox: (id: string) => json<{ id: string }>('DELETE', pathOf('sandboxes', id)),
    agents: {
      list: (query: Query = {}) => json<PageOf<Agent>>('GET', '/v1/agents', { query }),
      get: (id: string, query: { version?: number } = {}) => json<Agent>('GET', pathOf('agents', id), { query }),
      create: (body: AgentCreate) => json<Agent>('POST', '/v1/agents', { body }),
      update: (id: string, body: AgentUpdate) => json<Agent>('POST', pathOf('agents', id), { body }),
      listVersions: (id: string, query: Query = {}) => json<PageOf<Agent>>('GET', pathOf('agents', id, 'versions'), { query }),
      archive: (id: string) => json<Agent>('POST', pathOf('agents', id, 'archive')),
    },
    environments: {
      list: (query: Query = {}) => json<PageOf<Environment>>('GET', '/v1/environments', { query }),
      get: (id: string) => json<Environment>('GET', pathOf('environments', id)),
      create: (body: EnvironmentCreate) => json<Environment>('POST', '/v1/environments', { body }),
      update: (id: string, body: EnvironmentUpdate) => json<Environment>('POST', pathOf('environments', id), { body }),
      archive: (id: string) => json<Environment>('POST', pathOf('environments', id, 'archive')),
      remove: (id: string) => json<{ id: string }>('DELETE', pathOf('environments', id)),
    },
    sessions: {
      list: (query: Query = {}) => json<PageOf<Session>>('GET', '/v1/sessions', { query }),
      get: (id: string) => json<Session>('GET', pathOf('sessions', id)),
      create: (body: SessionCreateInput) => json<Session>('POST', '/v1/sessions', { body }),
      update: (id: string, body: SessionUpdate) => json<Session>('POST', pathOf('sessions', id), { body }),
      archive: (id: string) => json<Session>('POST', pathOf('sessions', id, 'archive')),
      fork: (id: string, body: SessionFork = {}) => json<ForkedSession>('POST', pathOf('sessions', id, 'fork'), { body }),
      remove: (id: string) => json<{ id: string }>('DELETE', pathOf('sessions', id)),
      /** What its sandboxes asked for of the network, the newest first. */
      egress: (id: string, query: Query = {}) => json<PageOf<EgressDecision>>('GET', pathOf('sessions', id, 'egress'), { query }),
    },
    events: {
      list: (id: string, query: Query = {}) => json<PageOf<SessionEvent>>('GET', pathOf('sessions', id, 'events'), { query }),
      send: (id: string, events: readonly EventParam[], input: SendInput = {}) =>
        json<EventSendResponse>('POST', pathOf('sessions', id, 'events'), { body: { events }, ...sendOptions(input) }),
      stream: (id: string, input: StreamInput) => followStream(request, id, input),
    },
    turns: {
      /** The newest first; with `session_id` those of one session, with `'states[]': ['failed']` the dead letters. */
      list: (query: Query = {}) => json<PageOf<Turn>>('GET', '/v1/turns', { query }),
      ofSession: (sessionId: string, query: Query = {}) => json<PageOf<Turn>>('GET', pathOf('sessions', sessionId, 'turns'), { query }),
      get: (sessionId: string, id: string) => json<Turn>('GET', pathOf('sessions', sessionId, 'turns', id)),
      cancel: (sessionId: string, id: string) => json<Turn>('POST', pathOf('sessions', sessionId, 'turns', id, 'cancel')),
      /** Sends the message of a turn that did not complete again; answers as `events.send`. */
      retry: (sessionId: string, id: string, input: SendInput = {}) =>
        json<EventSendResponse>('POST', pathOf('sessions', sessionId, 'turns', id, 'retry'), sendOptions(input)),
    },
    files: filesOf(request, json),
    workspace: (id: string) => json<Workspace>('GET', pathOf('sessions', id, 'workspace')),
    snapshots: snapshotsOf(json),
    approvals: approvalsOf(json),
    audit: auditOf(request, json),
    services: servicesOf(request, json),
    webhooks: webhooksOf(json),
    vaults: vaultsOf(json),
    ...keysOf(json),
    ...accessOf(json),
    ...contentsOf(request, json),
    ...spendingOf(request, json),
  };
}

function webhooksOf(json: Json) {
  return {
    list: (query: Query = {}) => json<PageOf<Webhook>>('GET', '/v1/webhooks', { query }),
    get: (id: string) => json<Webhook>('GET', pathOf('webhooks', id)),
    create: (body: WebhookCreate) => json<WebhookWithSecret>('POST', '/v1/webhooks', { body }),
    update: (id: string, body: WebhookUpdate) => json<Webhook>('POST', pathOf('webhooks', id), { body }),
    remove: (id: string) => json<{ id: string }>('DELETE', pathOf('webhooks', id)),
    rotateSecret: (id: string) => json<WebhookWithSecret>('POST', pathOf('webhooks', id, 'rotate_secret')),
    test: (id: string) => json<WebhookDelivery>('POST', pathOf('webhooks', id, 'test')),
    deliveries: (id: string, query: Query = {}) => json<PageOf<WebhookDelivery>>('GET', pathOf('webhooks', id, 'deliveries'), { query }),
    retryDelivery: (id: string, deliveryId: string) =>
      json<WebhookDelivery>('POST', pathOf('webhooks', id, 'deliveries', deliveryId, 'retry')),
  };
}

interface SendInput {
  /** Hold the answer until the turn ends or asks, for at most this many seconds. */
  readonly wait?: number;
  readonly idempotencyKey?: string;
}

function sendOptions({ wait, idempotencyKey }: SendInput): Pick<RequestInput, 'query' | 'headers'> {
  return { query: { wait }, headers: idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey } };
}

function queryString(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one));
  }
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

/** Undefined when what answered was not Cloister, such as a proxy with its own error page. */
function parseEnvelope(text: string): ErrorEnvelope | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'error' in value ? (value as ErrorEnvelope) : undefined;
  } catch {
    return undefined;
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
