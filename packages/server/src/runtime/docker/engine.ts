import http from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '../../base/clock.ts';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import { asJsonObject, type JsonValue } from '../../base/json.ts';
import { createDeadline, type Deadline, untilAborted } from './deadline.ts';
import { type Endpoint, type EndpointOptions, endpointCandidates } from './endpoint.ts';
import { type ConnectionFailure, errorCode, explainConnection, tooSlow, unreachable } from './failures.ts';

/**
 * The engine's HTTP API, as thin as it can be. Any status is an answer, not an exception: what a 404 means is
 * the operation's to say. Only a missing, silent or broken engine throws, always as `runtime_unreachable`.
 */
export interface Engine {
  /** Asks and reads the whole answer. */
  call(request: EngineRequest): Promise<EngineAnswer>;
  /** Asks and hands over the body as it comes; the deadline ends with the headers, the signal does not. */
  open(request: EngineRequest): Promise<EngineStream>;
  /** Asks for the raw connection (attach, exec). Never shares a connection with other calls. */
  hijack(request: EngineRequest): Promise<Hijacked>;
  /** Finds the engine and its API version; cached until a connection fails. */
  address(signal?: AbortSignal): Promise<EngineAddress>;
  close(): void;
}

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

export interface EngineStream {
  readonly status: number;
  readonly body: http.IncomingMessage;
}

export type Hijacked =
  | { readonly type: 'open'; readonly socket: Duplex; readonly head: Buffer }
  | { readonly type: 'refused'; readonly status: number; readonly message: string };

export interface EngineAddress {
  readonly endpoint: Endpoint;
  /** Such as `1.41`. */
  readonly apiVersion: string;
}

export interface EngineOptions extends EndpointOptions {
  readonly clock: Clock;
  readonly deadlineMs?: number | undefined;
}

/** We speak the engine's own version up to this one, the newest whose changes were read. */
const NEWEST_API = '1.51';
const OLDEST_API = '1.40';
const DEFAULT_DEADLINE_MS = 30_000;
const MAX_BODY_BYTES = 32 * 1024 * 1024;

export function createEngine(options: EngineOptions): Engine {
  const { clock } = options;
  const candidates = endpointCandidates(options);
  const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
  const agent = new http.Agent({ keepAlive: true });
  const closing = new AbortController();
  let negotiated: Promise<EngineAddress> | undefined;

  function address(signal?: AbortSignal): Promise<EngineAddress> {
    negotiated ??= negotiate(candidates, { clock, deadlineMs, agent, signal: closing.signal }).catch((error: unknown) => {
      negotiated = undefined;
      throw error;
    });
    return untilAborted(negotiated, signal);
  }

  /** Runs one exchange under its deadline and gives every failure its right name. */
  async function exchange<T>(request: EngineRequest, run: (at: EngineAddress, deadline: Deadline) => Promise<T>): Promise<T> {
    request.signal?.throwIfAborted();
    const limit = request.deadlineMs ?? deadlineMs;
    const deadline = createDeadline(clock, limit, request.signal, closing.signal);
    let at: EngineAddress | undefined;
    try {
      at = await address(deadline.signal);
      return await run(at, deadline);
    } catch (error) {
      if (request.signal?.aborted) throw request.signal.reason;
      if (deadline.isExpired()) throw tooSlow(at?.endpoint, operationName(request), limit);
      if (isPlatformError(error) || at === undefined) throw error;
      negotiated = undefined;
      throw unreachable(explainConnection(at.endpoint, error), error);
    } finally {
      deadline.clear();
    }
  }

  return {
    address,
    call: (request) =>
      exchange(request, async (at, { signal }) => {
        const response = await send({ at, request, agent, signal });
        return readAnswer(response);
      }),
    open: (request) =>
      exchange(request, async (at, deadline) => {
        // The stream outlives the deadline but not the caller's signal, nor this client.
        const life = createDeadline(clock, undefined, request.signal, closing.signal);
        const body = await send({ at, request, agent: false, signal: AbortSignal.any([life.signal, deadline.signal]) });
        body.once('close', () => life.clear());
        return { status: body.statusCode ?? 0, body };
      }),
    hijack: (request) => exchange(request, (at, { signal }) => upgrade({ at, request, signal, closing: closing.signal })),
    close() {
      closing.abort(new PlatformError('runtime_unreachable', { detail: 'The connection to the container engine was closed.' }));
      agent.destroy();
    },
  };
}

interface Exchange {
  readonly at: EngineAddress;
  readonly request: EngineRequest;
  readonly agent: http.Agent | false;
  readonly signal: AbortSignal;
}

/** Sends the request; resolves with the headers. */
async function send(exchange: Exchange, isRepeat = false): Promise<http.IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const { request } = exchange;
  const client = http.request(requestOptions(exchange));
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

function requestOptions({ at, request, agent, signal }: Exchange, more: Readonly<Record<string, string>> = {}): http.RequestOptions {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(request.query ?? {})) if (value !== undefined) query.set(name, String(value));
  const prefix = at.apiVersion === '' ? '' : `/v${at.apiVersion}`;
  const headers: Record<string, string> = { ...more };
  if (request.json !== undefined) headers['content-type'] = 'application/json';
  if (request.upload !== undefined) headers['content-type'] = request.upload.type;
  const path = `${prefix}${request.path}${query.size > 0 ? `?${query.toString()}` : ''}`;
  const options = { method: request.method, path, headers, agent, signal };
  return at.endpoint.type === 'unix'
    ? { ...options, socketPath: at.endpoint.socketPath }
    : { ...options, host: at.endpoint.host, port: at.endpoint.port };
}

/** Asks for the raw connection. A request without JSON has no body at all: some engines feed it to the container's stdin. */
function upgrade(exchange: Omit<Exchange, 'agent'> & { readonly closing: AbortSignal }): Promise<Hijacked> {
  const { promise, resolve, reject } = Promise.withResolvers<Hijacked>();
  const body = exchange.request.json === undefined ? undefined : JSON.stringify(exchange.request.json);
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const client = http.request(requestOptions({ ...exchange, agent: false }, { connection: 'Upgrade', upgrade: 'tcp', ...length }));
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

async function readAnswer(response: http.IncomingMessage): Promise<EngineAnswer> {
  const status = response.statusCode ?? 0;
  const text = await readText(response, MAX_BODY_BYTES);
  const body = parseJson(text);
  const { message } = asJsonObject(body);
  const words = typeof message === 'string' ? message : text.trim();
  return { status, body, message: status >= 400 ? words : '' };
}

export async function readText(stream: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`engine answer over ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function parseJson(text: string): JsonValue | undefined {
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as JsonValue; // what JSON can hold, by definition
  } catch {
    // Proxies in front of an engine answer in HTML; the status says enough.
    return undefined;
  }
}

function operationName(request: EngineRequest): string {
  return `${request.method} ${request.path.replace(/[0-9a-f]{64}/g, '{id}')}`;
}

interface NegotiationOptions {
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly agent: http.Agent;
  readonly signal: AbortSignal;
}

/** Takes the first place where an engine answers; when none does, tells about the place that says most. */
async function negotiate(candidates: readonly [Endpoint, ...Endpoint[]], options: NegotiationOptions): Promise<EngineAddress> {
  let worst: { failure: ConnectionFailure; cause: unknown } | undefined;
  for (const endpoint of candidates) {
    const deadline = createDeadline(options.clock, options.deadlineMs, options.signal);
    try {
      return await ping(endpoint, options.agent, deadline.signal);
    } catch (cause) {
      if (isPlatformError(cause)) throw cause;
      if (options.signal.aborted) throw options.signal.reason;
      if (deadline.isExpired()) throw tooSlow(endpoint, 'GET /_ping', options.deadlineMs);
      const failure = explainConnection(endpoint, cause);
      if (worst === undefined || failure.weight > worst.failure.weight) worst = { failure, cause };
    } finally {
      deadline.clear();
    }
  }
  throw unreachable(worst?.failure ?? explainConnection(candidates[0], undefined), worst?.cause);
}

async function ping(endpoint: Endpoint, agent: http.Agent, signal: AbortSignal): Promise<EngineAddress> {
  const response = await send({ at: { endpoint, apiVersion: '' }, request: { method: 'GET', path: '/_ping' }, agent, signal });
  const answer = await readAnswer(response);
  const offered = response.headers['api-version'];
  if (answer.status !== 200 || typeof offered !== 'string')
    throw new PlatformError('runtime_unreachable', {
      detail: 'What answers there is not a container engine. Set DOCKER_HOST to where the engine listens.',
      cause: new Error(`ping answered ${answer.status}: ${answer.message}`),
    });
  if (compareVersions(offered, OLDEST_API) < 0)
    throw new PlatformError('runtime_unreachable', {
      detail: `The container engine speaks API ${offered}; at least ${OLDEST_API} is needed. Upgrade Docker to 20.10 or newer.`,
    });
  return { endpoint, apiVersion: compareVersions(offered, NEWEST_API) > 0 ? NEWEST_API : offered };
}

export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number));
  return (left?.[0] ?? 0) - (right?.[0] ?? 0) || (left?.[1] ?? 0) - (right?.[1] ?? 0);
}
