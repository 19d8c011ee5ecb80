import { accessOf } from './client-access.ts';
import { approvalsOf, auditOf } from './client-approvals.ts';
import { contentsOf } from './client-contents.ts';
import { spendingOf } from './client-spending.ts';
import { keysOf, vaultsOf } from './client-vaults.ts';
import { createSseParser, type ServerSentEvent } from './sse.ts';
import type { Agent, AgentCreate, AgentUpdate } from './wire/agents.ts';
import type { EgressDecision } from './wire/egress.ts';
import type { Environment, EnvironmentCreate, EnvironmentUpdate } from './wire/environments.ts';
import type { ErrorEnvelope } from './wire/errors.ts';
import type { EventParam, EventSendResponse, Preview, SessionEvent, StreamReset } from './wire/events.ts';
import type { ArchiveUnpacked, FileMove, ForkedSession, SessionFork, Snapshot, Workspace, WorkspaceFile } from './wire/files.ts';
import type { Health, Status } from './wire/health.ts';
import type { Service, ServiceCreate, ServiceEvent, ServiceLogLine } from './wire/services.ts';
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

export interface PageOf<T> {
  readonly data: readonly T[];
  readonly next_page: string | null;
}

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

type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** How long a stream waits before it connects again. */
const RECONNECT_MS = 500;
/** The server writes something every 15 s; a connection that is silent for longer is lost, though nobody has said so. */
const SILENCE_MS = 45_000;

export type Client = ReturnType<typeof createClient>;

interface RequestInput {
  readonly query?: Query;
  readonly body?: unknown;
  /** A body that is no JSON. */
  readonly raw?: Blob | Uint8Array<ArrayBuffer>;
  readonly form?: FormData;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** A status that is an answer here, not an error. */
  readonly accepts?: number;
}

type Request = (method: string, path: string, input?: RequestInput) => Promise<Response>;

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
    const response = await request('GET', `${path('sessions', sessionId)}/events/stream`, {
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
  /** The server's answers are its own schemas', checked by its tests; a client does not parse them twice. */
  const json = async <T>(...args: Parameters<Request>): Promise<T> => (await (await request(...args)).json()) as T;

  return {
    /** Also answers when the server says that it cannot serve, with the reasons in `checks`. */
    health: () => json<Health>('GET', '/health', { accepts: 503 }),
    status: () => json<Status>('GET', '/v1/status'),
    agents: {
      list: (query: Query = {}) => json<PageOf<Agent>>('GET', '/v1/agents', { query }),
      get: (id: string, query: { version?: number } = {}) => json<Agent>('GET', path('agents', id), { query }),
      create: (body: AgentCreate) => json<Agent>('POST', '/v1/agents', { body }),
      update: (id: string, body: AgentUpdate) => json<Agent>('POST', path('agents', id), { body }),
      listVersions: (id: string, query: Query = {}) => json<PageOf<Agent>>('GET', `${path('agents', id)}/versions`, { query }),
      archive: (id: string) => json<Agent>('POST', `${path('agents', id)}/archive`),
    },
    environments: {
      list: (query: Query = {}) => json<PageOf<Environment>>('GET', '/v1/environments', { query }),
      get: (id: string) => json<Environment>('GET', path('environments', id)),
      create: (body: EnvironmentCreate) => json<Environment>('POST', '/v1/environments', { body }),
      update: (id: string, body: EnvironmentUpdate) => json<Environment>('POST', path('environments', id), { body }),
      archive: (id: string) => json<Environment>('POST', `${path('environments', id)}/archive`),
      remove: (id: string) => json<{ id: string }>('DELETE', path('environments', id)),
    },
    sessions: {
      list: (query: Query = {}) => json<PageOf<Session>>('GET', '/v1/sessions', { query }),
      get: (id: string) => json<Session>('GET', path('sessions', id)),
      create: (body: SessionCreateInput) => json<Session>('POST', '/v1/sessions', { body }),
      update: (id: string, body: SessionUpdate) => json<Session>('POST', path('sessions', id), { body }),
      archive: (id: string) => json<Session>('POST', `${path('sessions', id)}/archive`),
      fork: (id: string, body: SessionFork = {}) => json<ForkedSession>('POST', `${path('sessions', id)}/fork`, { body }),
      remove: (id: string) => json<{ id: string }>('DELETE', path('sessions', id)),
      /** What its sandboxes asked for of the network, the newest first. */
      egress: (id: string, query: Query = {}) => json<PageOf<EgressDecision>>('GET', `${path('sessions', id)}/egress`, { query }),
    },
    events: {
      list: (id: string, query: Query = {}) => json<PageOf<SessionEvent>>('GET', `${path('sessions', id)}/events`, { query }),
      send: (id: string, events: readonly EventParam[], input: SendInput = {}) =>
        json<EventSendResponse>('POST', `${path('sessions', id)}/events`, { body: { events }, ...sendOptions(input) }),
      stream: (id: string, input: StreamInput) => followStream(request, id, input),
    },
    turns: {
      /** The newest first; with `session_id` those of one session, with `'states[]': ['failed']` the dead letters. */
      list: (query: Query = {}) => json<PageOf<Turn>>('GET', '/v1/turns', { query }),
      get: (sessionId: string, id: string) => json<Turn>('GET', turnPath(sessionId, id)),
      cancel: (sessionId: string, id: string) => json<Turn>('POST', `${turnPath(sessionId, id)}/cancel`),
      /** Sends the message of a turn that did not complete again; answers as `events.send`. */
      retry: (sessionId: string, id: string, input: SendInput = {}) =>
        json<EventSendResponse>('POST', `${turnPath(sessionId, id)}/retry`, sendOptions(input)),
    },
    files: filesOf(request, json),
    workspace: (id: string) => json<Workspace>('GET', `${path('sessions', id)}/workspace`),
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

type Json = <T>(...args: Parameters<Request>) => Promise<T>;

/** Files of a session's workspace. What is read comes as the response itself, to be streamed. */
function filesOf(request: Request, json: Json) {
  return {
    list: (id: string, query: { path?: string; limit?: number; page?: string } = {}) =>
      json<PageOf<WorkspaceFile>>('GET', `${path('sessions', id)}/files`, { query }),
    read: (id: string, file: string, signal?: AbortSignal) =>
      request('GET', `${path('sessions', id)}/files/content`, { query: { path: file }, signal }),
    write: (id: string, file: string, raw: Blob | Uint8Array<ArrayBuffer>, { overwrite }: { overwrite?: boolean } = {}) =>
      json<WorkspaceFile>('PUT', `${path('sessions', id)}/files/content`, { query: { path: file, overwrite }, raw }),
    remove: (id: string, file: string, { recursive }: { recursive?: boolean } = {}) =>
      json<{ path: string }>('DELETE', `${path('sessions', id)}/files`, { query: { path: file, recursive } }),
    makeDirectory: (id: string, directory: string) =>
      json<WorkspaceFile>('POST', `${path('sessions', id)}/files/directories`, { body: { path: directory } }),
    move: (id: string, body: FileMove) => json<WorkspaceFile>('POST', `${path('sessions', id)}/files/move`, { body }),
    /** A tar.gz of the workspace, or of a directory of it. */
    download: (id: string, directory?: string, signal?: AbortSignal) =>
      request('GET', `${path('sessions', id)}/files/archive`, { query: { path: directory }, signal }),
    /** Unpacks a tar or tar.gz into the workspace, or into a directory of it. */
    upload: (id: string, raw: Blob | Uint8Array<ArrayBuffer>, directory?: string) =>
      json<ArchiveUnpacked>('PUT', `${path('sessions', id)}/files/archive`, { query: { path: directory }, raw }),
  };
}

function snapshotsOf(json: Json) {
  return {
    list: (id: string) => json<PageOf<Snapshot>>('GET', `${path('sessions', id)}/snapshots`),
    create: (id: string) => json<Snapshot>('POST', `${path('sessions', id)}/snapshots`),
    remove: (id: string, snapshot: string) =>
      json<{ id: string }>('DELETE', `${path('sessions', id)}/snapshots/${encodeURIComponent(snapshot)}`),
    restore: (id: string, snapshot: string) =>
      json<Snapshot>('POST', `${path('sessions', id)}/snapshots/${encodeURIComponent(snapshot)}/restore`),
  };
}

function webhooksOf(json: Json) {
  return {
    list: (query: Query = {}) => json<PageOf<Webhook>>('GET', '/v1/webhooks', { query }),
    get: (id: string) => json<Webhook>('GET', path('webhooks', id)),
    create: (body: WebhookCreate) => json<WebhookWithSecret>('POST', '/v1/webhooks', { body }),
    update: (id: string, body: WebhookUpdate) => json<Webhook>('POST', path('webhooks', id), { body }),
    remove: (id: string) => json<{ id: string }>('DELETE', path('webhooks', id)),
    rotateSecret: (id: string) => json<WebhookWithSecret>('POST', `${path('webhooks', id)}/rotate_secret`),
    test: (id: string) => json<WebhookDelivery>('POST', `${path('webhooks', id)}/test`),
    deliveries: (id: string, query: Query = {}) => json<PageOf<WebhookDelivery>>('GET', `${path('webhooks', id)}/deliveries`, { query }),
    retryDelivery: (id: string, deliveryId: string) =>
      json<WebhookDelivery>('POST', `${path('webhooks', id)}/deliveries/${encodeURIComponent(deliveryId)}/retry`),
  };
}

function servicesOf(request: Request, json: Json) {
  return {
    list: (query: Query = {}) => json<PageOf<Service>>('GET', '/v1/services', { query }),
    get: (id: string) => json<Service>('GET', path('services', id)),
    create: (body: ServiceCreate) => json<Service>('POST', '/v1/services', { body }),
    start: (id: string) => json<Service>('POST', `${path('services', id)}/start`),
    stop: (id: string) => json<Service>('POST', `${path('services', id)}/stop`),
    restart: (id: string) => json<Service>('POST', `${path('services', id)}/restart`),
    remove: (id: string) => json<Service>('DELETE', path('services', id)),
    events: (id: string, query: Query = {}) => json<PageOf<ServiceEvent>>('GET', `${path('services', id)}/events`, { query }),
    /** Its last lines, and with `follow` the new ones until its container ends. */
    logs: (id: string, query: { readonly tail?: number; readonly follow?: boolean } = {}, signal?: AbortSignal) =>
      readFrames<ServiceLogLine>(request('GET', `${path('services', id)}/logs`, { query, signal })),
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

interface SendInput {
  /** Hold the answer until the turn ends or asks, for at most this many seconds. */
  readonly wait?: number;
  readonly idempotencyKey?: string;
}

function sendOptions({ wait, idempotencyKey }: SendInput): Pick<RequestInput, 'query' | 'headers'> {
  return { query: { wait }, headers: idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey } };
}

function turnPath(sessionId: string, id: string): string {
  return `${path('sessions', sessionId)}/turns/${encodeURIComponent(id)}`;
}

function path(kind: 'agents' | 'environments' | 'services' | 'sessions' | 'webhooks', id: string): string {
  return `/v1/${kind}/${encodeURIComponent(id)}`;
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
