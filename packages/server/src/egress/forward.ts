import { type IncomingMessage, type OutgoingHttpHeaders, request as requestHttp, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Transform } from 'node:stream';
import { dial, dialPlain } from './dial.ts';
import type { Ask, Refusal, StopReason, Visit } from './guard.ts';
import { proxiedHeaders } from './headers.ts';
import { parseTarget } from './host-policy.ts';
import { createIdleTimer } from './idle-timer.ts';
import { sendProblem } from './problem-response.ts';
import type { ProxyServer } from './proxies.ts';
import { credentialsFor, credentialsRefused, PROXY_WANTS_CREDENTIALS } from './proxy-tunnel.ts';
import type { TunnelOptions } from './tunnel.ts';

/** Serves `GET http://host/…` and the like: a plain request through the proxy, under the same rules. */
export async function forwardPlain(options: TunnelOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = URL.parse(request.url ?? '');
  const isPlain = url !== null && url.protocol === 'http:' && url.username === '' && url.password === '';
  const target = isPlain ? parseTarget(url.host, 80) : undefined;
  const ask = { way: 'plain', method: request.method ?? 'GET', target, path: url?.pathname } as const;
  await forward(options, { ask, host: url?.host ?? '', path: `${url?.pathname}${url?.search}`, request, response });
}

export interface Forwarded {
  readonly ask: Ask;
  /** As the host header says it. */
  readonly host: string;
  /** With the query. */
  readonly path: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** What becomes of the connection before a request goes over it. */
  readonly secure?: (remote: Socket, signal: AbortSignal) => Promise<Socket>;
  /** Changes what goes out and what comes back. Throws when it cannot. */
  readonly rewrite?: (visit: Visit) => Promise<Rewrite | undefined>;
}

export interface Rewrite {
  request(headers: OutgoingHttpHeaders): OutgoingHttpHeaders;
  response(headers: OutgoingHttpHeaders): OutgoingHttpHeaders;
  /** What the body of the answer goes through. */
  body(): Transform;
  /** For the same request once more, after the host has answered 401. Throws when there is nothing else to say. */
  readonly renew?: (() => Promise<Rewrite>) | undefined;
}

export async function forward(options: TunnelOptions, forwarded: Forwarded): Promise<void> {
  const { ask, request, response } = forwarded;
  const ended = new AbortController();
  const stop = (reason: StopReason) => ended.abort(reason);
  const tell = (refusal: Refusal) => {
    if (!response.destroyed) sendProblem(response, refusal.code, refusal.detail);
  };
  const malformed = malformation(request);
  if (malformed !== undefined) return tell(options.guard.refuse(ask, 'malformed', { code: 'request_invalid', detail: malformed }));
  const answer = options.guard.ask(ask, stop);
  if (answer.type === 'refused') return tell(answer.refusal);
  // Only tunnels are answered so, and this is none.
  if (answer.type === 'inspect') return tell({ code: 'bug', detail: 'A request cannot be looked into twice.' });
  const { visit } = answer;
  response.once('close', () => stop('closed'));
  const signal = AbortSignal.any([options.signal, ended.signal]);
  try {
    let rewrite = await forwarded.rewrite?.(visit);
    const body = rewrite?.renew === undefined ? undefined : await readSmall(request, visit);
    const opened = await open(options, forwarded, visit, signal);
    visit.connected(opened.address);
    const exchanged = { visit, ...opened, ended: ended.signal, rewrite, body, mayRefuse: body === undefined };
    let ending = await exchange(options, forwarded, exchanged);
    if (ending === REFUSED) {
      rewrite = await rewrite?.renew?.();
      const again = await open(options, forwarded, visit, signal);
      ending = await exchange(options, forwarded, { ...exchanged, ...again, rewrite, mayRefuse: true });
    }
    visit.end(ending);
  } catch (error) {
    tell(visit.failed(error));
  }
}

/** What may be sent again is kept until the host has answered; what is longer goes through, and only once. */
const MAX_KEPT_BYTES = 1024 * 1024;
const REFUSED = 'refused';

/** The whole body, where the request says that it is small; undefined where it does not. */
async function readSmall(request: IncomingMessage, visit: Visit): Promise<Buffer | undefined> {
  const isChunked = request.headers['transfer-encoding'] !== undefined;
  if (isChunked || Number(request.headers['content-length'] ?? 0) > MAX_KEPT_BYTES) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  const body = Buffer.concat(chunks);
  visit.count('up', body.length);
  return body;
}

async function open(
  { dialer }: TunnelOptions,
  { secure }: Forwarded,
  { target }: Visit,
  signal: AbortSignal,
): Promise<{ readonly remote: Socket; readonly address: string; readonly proxy: ProxyServer | undefined }> {
  if (secure === undefined) {
    const { socket, proxy } = await dialPlain(dialer, target, signal);
    return { remote: socket, address: socket.remoteAddress ?? '', proxy };
  }
  const socket = await dial(dialer, target, signal);
  const address = socket.remoteAddress ?? '';
  return { remote: await secure(socket, signal), address, proxy: undefined };
}

/** What another server could read in a different way than we do goes no further. */
function malformation({ headers }: IncomingMessage): string | undefined {
  const encoding = headers['transfer-encoding'];
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'chunked')
    return 'The only transfer encoding that is passed on is `chunked`.';
  if (encoding !== undefined && headers['content-length'] !== undefined) return 'A request has one length, not two.';
  if (/websocket/i.test(headers.upgrade ?? '')) return 'WebSockets go through CONNECT only.';
  return undefined;
}

/** Says as the first hop did how the body is framed: a body that nothing announces would be read as the next request. */
function outgoingHeaders(request: IncomingMessage, host: string): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { ...proxiedHeaders(request.headers), host, connection: 'close' };
  if (request.headers['transfer-encoding'] !== undefined) headers['transfer-encoding'] = 'chunked';
  return headers;
}

interface Exchange {
  readonly visit: Visit;
  readonly remote: Socket;
  /** The proxy that reads the request. */
  readonly proxy: ProxyServer | undefined;
  readonly ended: AbortSignal;
  readonly rewrite: Rewrite | undefined;
  /** Read already; undefined for one that is passed on as it comes. */
  readonly body: Buffer | undefined;
  /** Whether an answer of 401 is the sandbox's to see. */
  readonly mayRefuse: boolean;
}

/** Resolves with how it ended; rejects when the host broke off before it answered. */
function exchange(options: TunnelOptions, forwarded: Forwarded, exchanged: Exchange): Promise<string> {
  const { visit, remote, proxy, ended, rewrite, body, mayRefuse } = exchanged;
  const { request, response, host } = forwarded;
  const path = proxy === undefined ? forwarded.path : `http://${host}${forwarded.path}`;
  const { clock } = options.dialer;
  return new Promise((resolve, reject) => {
    const plainHeaders = outgoingHeaders(request, host);
    const headers = { ...(rewrite?.request(plainHeaders) ?? plainHeaders), ...(proxy === undefined ? {} : credentialsFor(proxy)) };
    // No agent at all, not even `false`: with one, node leaves `createConnection` aside and dials by itself.
    const outgoing = requestHttp({ createConnection: () => remote, method: request.method ?? 'GET', path, headers });
    let ending = 'done';
    const breakOff = (why: string) => {
      ending = why;
      outgoing.destroy();
      remote.destroy();
      response.destroy();
    };
    const onEnded = () => breakOff(String(ended.reason));
    const idle = createIdleTimer(clock, options.idleMs, () => breakOff('idle'));
    const cancelTotal = clock.after(options.totalMs, () => breakOff('total_time'));
    for (const [side, direction] of [
      [request, 'up'],
      [remote, 'down'],
    ] as const) {
      side.on('data', (chunk: Buffer) => {
        idle.touch();
        visit.count(direction, chunk.length);
      });
    }
    const finish = () => {
      idle.stop();
      cancelTotal();
      ended.removeEventListener('abort', onEnded);
      outgoing.destroy();
      remote.destroy();
      resolve(ending);
    };
    outgoing.on('error', (error) => {
      remote.destroy();
      // What breaks off then is the connection that was left.
      if (ending === REFUSED) return;
      if (response.headersSent || response.destroyed) return void response.destroy();
      idle.stop();
      cancelTotal();
      reject(error);
    });
    outgoing.once('response', (answer) => {
      if (proxy !== undefined && answer.statusCode === PROXY_WANTS_CREDENTIALS)
        return void outgoing.destroy(credentialsRefused(proxy, visit.target));
      if (answer.statusCode === 401 && !mayRefuse) {
        ending = REFUSED;
        answer.once('error', () => undefined);
        response.off('close', finish);
        return finish();
      }
      passOn(answer, response, rewrite);
    });
    ended.addEventListener('abort', onEnded, { once: true });
    response.once('close', finish);
    if (response.destroyed) finish();
    else if (ended.aborted) onEnded();
    else if (body !== undefined) outgoing.end(body);
    else request.pipe(outgoing);
  });
}

function passOn(answer: IncomingMessage, response: ServerResponse, rewrite: Rewrite | undefined): void {
  const headers = proxiedHeaders(answer.headers);
  response.writeHead(answer.statusCode ?? 502, rewrite?.response(headers) ?? headers);
  // A stream of events may have none for long, and whoever asked waits for its beginning.
  response.flushHeaders();
  answer.once('error', () => response.destroy());
  (rewrite === undefined ? answer : answer.pipe(rewrite.body())).pipe(response);
}
