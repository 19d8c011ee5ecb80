import http from 'node:http';
import https from 'node:https';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { asJsonObject, type JsonValue } from '../../base/json.ts';
import type { Endpoint } from './endpoint.ts';
import { errorCode } from './failures.ts';
import { parseJson, readText } from './json-lines.ts';

export interface EngineRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly json?: unknown;
  readonly upload?: { readonly type: string; readonly body: Readable };
  readonly signal?: AbortSignal | undefined;
  /** Overrides the engine's deadline; undefined in a stream's request means the usual one. */
  readonly deadlineMs?: number;
}

export interface EngineAnswer {
  readonly status: number;
  /** Parsed JSON, or undefined when the body is empty or not JSON. */
  readonly body: JsonValue | undefined;
  /** The engine's words when the status is an error. */
  readonly message: string;
}

export type Hijacked =
  | { readonly type: 'open'; readonly socket: Duplex; readonly head: Buffer }
  | { readonly type: 'refused'; readonly status: number; readonly message: string };

/** Connections that are kept for the next call; false opens one for this call alone. */
export interface Agents {
  readonly plain: http.Agent;
  readonly tls: https.Agent;
}

export function createAgents(): Agents {
  return { plain: new http.Agent({ keepAlive: true }), tls: new https.Agent({ keepAlive: true }) };
}

export interface Exchange {
  readonly endpoint: Endpoint;
  /** Such as `1.41`; empty for calls that have no version. */
  readonly apiVersion: string;
  readonly request: EngineRequest;
  readonly agents: Agents | false;
  readonly signal: AbortSignal;
}

const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** Sends the request; resolves with the headers. */
export async function send(exchange: Exchange, isRepeat = false): Promise<http.IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const { request } = exchange;
  const client = openRequest(exchange);
  client.once('response', resolve);
  client.on('error', reject);
  if (request.upload !== undefined) pipeline(request.upload.body, client).catch(reject);
  else client.end(request.json === undefined ? undefined : JSON.stringify(request.json));
  try {
    return await promise;
  } catch (error) {
    // The engine may close a kept connection just as we use it: nothing was read then, so once more is safe.
    const isStale = client.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(errorCode(error) ?? '');
    if (!isStale || isRepeat || exchange.signal.aborted) throw error;
    return send(exchange, true);
  }
}

function openRequest(exchange: Exchange, more: Readonly<Record<string, string>> = {}): http.ClientRequest {
  const { endpoint, apiVersion, request, agents, signal } = exchange;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(request.query ?? {})) if (value !== undefined) query.set(name, String(value));
  const prefix = apiVersion === '' ? '' : `/v${apiVersion}`;
  const headers: Record<string, string> = { ...more };
  if (request.json !== undefined) headers['content-type'] = 'application/json';
  if (request.upload !== undefined) headers['content-type'] = request.upload.type;
  const path = `${prefix}${request.path}${query.size > 0 ? `?${query.toString()}` : ''}`;
  const options = { method: request.method, path, headers, signal };
  const plain = agents !== false && agents.plain;
  if (endpoint.type === 'unix') return http.request({ ...options, agent: plain, socketPath: endpoint.socketPath });
  const { host, port, tls } = endpoint;
  if (tls === undefined) return http.request({ ...options, agent: plain, host, port });
  return https.request({ ...options, agent: agents !== false && agents.tls, host, port, ...tls });
}

/** Asks for the raw connection. A request without JSON has no body at all: some engines feed it to the container's stdin. */
export function upgrade(exchange: Omit<Exchange, 'agents'> & { readonly closing: AbortSignal }): Promise<Hijacked> {
  const { promise, resolve, reject } = Promise.withResolvers<Hijacked>();
  const body = exchange.request.json === undefined ? undefined : JSON.stringify(exchange.request.json);
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const client = openRequest({ ...exchange, agents: false }, { connection: 'Upgrade', upgrade: 'tcp', ...length });
  client.once('upgrade', (_response, socket, head) => {
    const onClosing = () => socket.destroy();
    exchange.closing.addEventListener('abort', onClosing, { once: true });
    socket.once('close', () => exchange.closing.removeEventListener('abort', onClosing));
    resolve({ type: 'open', socket, head });
  });
  client.once('response', (response) => {
    readAnswer(response).then(({ status, message }) => resolve({ type: 'refused', status, message }), reject);
  });
  client.on('error', reject);
  client.end(body);
  return promise;
}

export async function readAnswer(response: http.IncomingMessage): Promise<EngineAnswer> {
  const status = response.statusCode ?? 0;
  const text = await readText(response, MAX_BODY_BYTES);
  const body = parseJson(text);
  const { message } = asJsonObject(body);
  const words = typeof message === 'string' ? message : text.trim();
  return { status, body, message: status >= 400 ? words : '' };
}
