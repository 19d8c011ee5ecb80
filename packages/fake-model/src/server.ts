import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { anthropicWire } from './anthropic.ts';
import { geminiWire } from './gemini.ts';
import { countTokens, type Json, parseBody } from './json.ts';
import { openaiChatWire } from './openai-chat.ts';
import { openaiResponsesWire } from './openai-responses.ts';
import { type Answer, conversationOf, type Refusal, scriptOf } from './script.ts';
import type { Wire } from './wire.ts';

export interface FakeModelOptions {
  /** 0, the default, takes any free port of 127.0.0.1. */
  readonly port?: number;
  /** Everything but HEAD answers 401 unless this key arrives. */
  readonly requireKey?: string;
  /** Called with every request once its body is read. */
  readonly log?: (request: RecordedRequest) => void;
}

export interface RecordedRequest {
  readonly seq: number;
  readonly method: string;
  /** Path with query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Json;
  readonly bytes: number;
}

export interface FakeModel {
  readonly url: string;
  readonly port: number;
  requests(): readonly RecordedRequest[];
  /** Answers under way. */
  activeStreams(): number;
  /** Answers whose client hung up before the end. */
  abortedStreams(): number;
  close(): Promise<void>;
}

interface State {
  readonly options: FakeModelOptions;
  readonly requests: RecordedRequest[];
  readonly failedOnce: Set<string>;
  active: number;
  aborted: number;
}

/** Starts a deterministic model on 127.0.0.1; see `script.ts` for what steers it. */
export async function startFakeModel(options: FakeModelOptions = {}): Promise<FakeModel> {
  const state: State = { options, requests: [], failedOnce: new Set(), active: 0, aborted: 0 };
  const server = createServer((request, response) => {
    handle(state, request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests: () => state.requests,
    activeStreams: () => state.active,
    abortedStreams: () => state.aborted,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function handle(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  const raw = Buffer.concat(chunks).toString('utf8');
  const { method = 'GET', url = '/' } = request;
  const recorded = { seq: state.requests.length + 1, method, url, headers: request.headers, body: parseBody(raw), bytes: raw.length };
  state.requests.push(recorded);
  state.options.log?.(recorded);
  const path = url.split('?', 1)[0] ?? '/';
  if (method === 'HEAD' || path === '/') return void response.writeHead(200).end();
  const wire = wireOf(path);
  if (state.options.requireKey !== undefined && keyOf(request.headers) !== state.options.requireKey)
    return sendJson(response, 401, (wire ?? anthropicWire).renderError(401, 'invalid x-api-key'));
  if (method === 'GET' && /\/models(\/[^/]+)?$/.test(path)) return sendJson(response, 200, MODEL_LIST);
  if (method === 'POST' && path.endsWith('/count_tokens')) return sendJson(response, 200, { input_tokens: countTokens(raw) });
  if (method !== 'POST' || wire === undefined) return sendJson(response, 404, anthropicWire.renderError(404, `no route ${path}`));
  await answer(state, wire, recorded, response);
}

const MODEL = { type: 'model', object: 'model', id: 'fake-model', display_name: 'Fake', created_at: '2025-01-01T00:00:00Z' };
const MODEL_LIST: Json = { object: 'list', data: [MODEL], has_more: false };

function wireOf(path: string): Wire | undefined {
  if (path.endsWith('/messages')) return anthropicWire;
  if (path.endsWith('/chat/completions')) return openaiChatWire;
  if (path.endsWith('/responses')) return openaiResponsesWire;
  return /:(generateContent|streamGenerateContent)$/.test(path) ? geminiWire : undefined;
}

function keyOf(headers: IncomingHttpHeaders): string | undefined {
  for (const value of [headers['x-api-key'], headers['x-goog-api-key'], headers.authorization]) {
    if (typeof value === 'string') return value.replace(/^Bearer /i, '');
  }
  return undefined;
}

async function answer(state: State, wire: Wire, request: RecordedRequest, response: ServerResponse): Promise<void> {
  const script = scriptOf(conversationOf(wire.readEntries(request.body), request.body.tools), state.failedOnce);
  response.setHeader('request-id', `req_fake_${request.seq}`);
  if (script.type === 'refusal') return refuse(wire, script, response);
  state.active++;
  let isOurs = false;
  response.once('close', () => {
    state.active--;
    if (!response.writableFinished && !isOurs) state.aborted++;
  });
  const breakOff = () => {
    isOurs = true;
    response.destroy();
  };
  if (wire.isStream(request.body, request.url)) await playStream(wire, script, request, response, breakOff);
  else await playWhole(wire, script, request, response, breakOff);
}

function refuse(wire: Wire, script: Refusal, response: ServerResponse): void {
  // Zero keeps clients that retry on their own from making a test wait.
  if (script.retryAfterSeconds !== undefined || script.status === 429 || script.status >= 500)
    response.setHeader('retry-after', script.retryAfterSeconds ?? '0');
  sendJson(response, script.status, wire.renderError(script.status, `fake ${script.status}`));
}

async function playWhole(
  wire: Wire,
  script: Answer,
  request: RecordedRequest,
  response: ServerResponse,
  breakOff: () => void,
): Promise<void> {
  const body = JSON.stringify(wire.renderWhole(script, request));
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.flushHeaders();
  if (!(await pause(response, script.silentMs + script.delayMs * script.pieces.length))) return;
  if (script.ending === 'whole' || script.ending === 'nofinish') return void response.end(body);
  if (script.ending === 'badjson') return void response.end('{'.repeat(Buffer.byteLength(body)));
  response.write(body.slice(0, body.length / 2), breakOff);
}

async function playStream(
  wire: Wire,
  script: Answer,
  request: RecordedRequest,
  response: ServerResponse,
  breakOff: () => void,
): Promise<void> {
  const frames = wire.renderStream(script, request);
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  for (const one of frames.opening) response.write(one);
  if (!(await pause(response, script.silentMs))) return;
  const half = Math.ceil(frames.pieces.length / 2);
  for (const [index, one] of frames.pieces.entries()) {
    if (!(await pause(response, script.delayMs))) return;
    if (index === half - 1 && script.ending === 'badjson') response.write('data: {"type":"content_block_delta","delta":{\n\n');
    if (index === half - 1 && script.ending === 'cut') return void response.write(one, breakOff);
    response.write(one);
  }
  if (script.streamError !== undefined) return void response.end(wire.renderStreamError(script.streamError));
  for (const one of frames.content) response.write(one);
  if (script.ending !== 'nofinish') for (const one of frames.final) response.write(one);
  response.end();
}

/** False when the client has hung up meanwhile. */
async function pause(response: ServerResponse, ms: number): Promise<boolean> {
  if (ms <= 0) return !response.destroyed;
  return await new Promise((resolve) => {
    const onClose = () => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      response.off('close', onClose);
      resolve(!response.destroyed);
    }, ms);
    response.once('close', onClose);
  });
}

function sendJson(response: ServerResponse, status: number, body: Json): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
