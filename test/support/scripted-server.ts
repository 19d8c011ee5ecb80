import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

export const KEY = 'clst_right';
const DASHBOARD = path.resolve(import.meta.dirname, '..', '..', 'packages', 'dashboard', 'dist');
const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' };
/** As the product serves the page: nothing inline, nothing from elsewhere. */
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const WAIT_MS = 15_000;

type Json = Record<string, unknown>;
export type Say = (event: Json) => Json;

export interface ScriptedServer {
  readonly url: string;
  readonly received: Json[];
  /** Resolves when an event that matches has been received. */
  waitFor(matches: (event: Json) => boolean): Promise<void>;
  /** Cuts every open stream, as a restart of the server does. */
  cutStreams(): void;
  close(): Promise<void>;
}

/**
 * A server of the wire that the dashboard and the command line read, with one agent, whose answers `onEvent` writes: an event with an id is
 * kept in the log and gets a `seq`; one without is a preview.
 */
export async function startScriptedServer(onEvent: (event: Json, say: Say, sessionId: string) => void): Promise<ScriptedServer> {
  const sessions: { row: Json; log: Json[] }[] = [];
  const streams = new Map<ServerResponse, string>();
  const received: Json[] = [];
  const arrivals = new EventEmitter();
  let count = 0;

  const say = (sessionId: string) => (event: Json) => {
    const session = sessions.find(({ row }) => row.id === sessionId);
    const isPreview = event.type === 'event_start' || event.type === 'event_delta';
    const stored = isPreview
      ? event
      : { id: `evt_${++count}`, processed_at: new Date().toISOString(), ...event, seq: (session?.log.length ?? 0) + 1 };
    if (!isPreview) session?.log.push(stored);
    for (const [stream, id] of streams) if (id === sessionId) writeEvent(stream, stored);
    return stored;
  };

  const agents: Json[] = [];
  const environments: Json[] = [];

  const api = async (request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
    const [, , noun = '', id = '', sub = '', leaf = ''] = url.pathname.split('/');
    const session = sessions.find(({ row }) => row.id === id);
    if (noun === 'auth' && id === 'methods') return json(response, { type: 'sign_in_methods', password: false, oidc: null });
    if (request.headers['x-api-key'] !== KEY)
      return problem(response, 401, 'credentials_invalid', 'The key is not valid.', 'Use a key that exists.');
    if (noun === 'status') return json(response, STATUS);
    if (noun === 'approvals') return json(response, page([]));
    if (noun === 'agents') return collection(request, response, agents, { ...AGENT, id: 'agt_1' });
    if (noun === 'environments') return collection(request, response, environments, { id: 'env_1', type: 'environment' });
    if (noun === 'sessions' && id === '' && request.method === 'GET')
      return json(response, page(sessions.map(({ row }) => row).toReversed()));
    if (noun === 'sessions' && id === '') {
      const body = await readJson(request);
      const row = {
        ...SESSION,
        id: `ses_${++count}`,
        title: body.title ?? null,
        created_at: new Date().toISOString(),
        updated_at: new Date().toISOString(),
      };
      sessions.push({ row, log: [] });
      return json(response, row);
    }
    if (session === undefined) return problem(response, 404, 'session_not_found', 'There is no such session.', 'Check the id.');
    if (sub === '') return json(response, { ...session.row, last_seq: session.log.length });
    if (leaf === 'stream') return openStream(request, response, url, id, session.log);
    if (request.method === 'GET') return json(response, page(session.log.toReversed()));
    const body = await readJson(request);
    const events = Array.isArray(body.events) ? body.events : [];
    const stored = events.map((event: Json) => say(id)(event));
    json(response, { data: stored });
    for (const event of stored) onEvent(event, say(id), id);
    received.push(...events);
    arrivals.emit('arrival');
  };

  const openStream = (request: IncomingMessage, response: ServerResponse, url: URL, id: string, log: readonly Json[]): void => {
    const after = Number(request.headers['last-event-id'] ?? url.searchParams.get('after') ?? 0);
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    for (const event of log) if (Number(event.seq) > after) writeEvent(response, event);
    streams.set(response, id);
    response.on('close', () => streams.delete(response));
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname === '/health') return json(response, HEALTH);
    const done = url.pathname.startsWith('/dashboard') ? file(response, url.pathname) : api(request, response, url);
    done.catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    async waitFor(matches) {
      while (!received.some(matches)) await once(arrivals, 'arrival', { signal: AbortSignal.timeout(WAIT_MS) });
    },
    cutStreams() {
      for (const stream of streams.keys()) stream.destroy();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const AGENT = { type: 'agent', name: 'Assistant', metadata: {}, version: 1, harness: 'builtin', model: { id: 'demo' } };
const HEALTH = { status: 'healthy', version: '0.1.0', checks: { store: { status: 'healthy', detail: 'writes' } } };
const STATUS = {
  health: 'healthy',
  version: '0.1.0',
  runtime: 'docker',
  isolation: 'container',
  runtime_reason: 'the first choice',
  capabilities: {
    warm_pool: true,
    runtime_classes: ['crun', 'runc'],
    default_runtime_class: null,
    limits: true,
    egress: 'gateway',
    workspace_quota: 'none',
    sleep: true,
    services: true,
  },
  stages: { queue: { count: 4, p50_ms: 1 }, start: { count: 2, p50_ms: 180 }, first_token: { count: 4, p50_ms: 12 } },
  model: 'demo',
  harness: 'builtin',
  is_demo: true,
  turns: { queued: 0, running: 0, waiting_approval: 0 },
  warm_pool: { max: 2, reason: null, environments: [] },
  reconciler: { last_sweep_at: null, resumed: 0, lost: 0, removed: {} },
};
const SESSION = {
  type: 'session',
  status: 'idle',
  agent: { ...AGENT, id: 'agt_1' },
  environment_id: 'env_1',
  usage: { input_tokens: 1234, output_tokens: 56, cache_read_input_tokens: 0 },
  archived_at: null,
};

/** A list that a POST adds to. */
async function collection(request: IncomingMessage, response: ServerResponse, rows: Json[], defaults: Json): Promise<void> {
  if (request.method === 'GET') return json(response, page(rows));
  const row = { ...defaults, ...(await readJson(request)), ...('model' in defaults ? { model: defaults.model } : {}) };
  rows.push(row);
  json(response, row);
}

function page(data: readonly Json[]): Json {
  return { data, next_page: null, prev_page: null };
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function problem(response: ServerResponse, status: number, code: string, message: string, fix: string): void {
  const body = { type: 'error', error: { type: 'invalid_request_error', message, code, fix, retryable: false }, request_id: 'req_1' };
  response.writeHead(status, { 'content-type': 'application/json', 'request-id': 'req_1' }).end(JSON.stringify(body));
}

function writeEvent(response: ServerResponse, event: Json): void {
  const id = event.seq === undefined ? '' : `id: ${Number(event.seq)}\n`;
  response.write(`${id}event: ${String(event.type)}\ndata: ${JSON.stringify(event)}\n\n`);
}

async function file(response: ServerResponse, pathname: string): Promise<void> {
  const name = path.basename(pathname === '/dashboard' || pathname === '/dashboard/' ? 'index.html' : pathname);
  const body = await readFile(path.join(DASHBOARD, name));
  response
    .writeHead(200, { 'content-type': TYPES[path.extname(name)] ?? 'application/octet-stream', 'content-security-policy': CSP })
    .end(body);
}

async function readJson(request: IncomingMessage): Promise<Json> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}
