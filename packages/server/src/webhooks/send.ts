import { type IncomingMessage, request } from 'node:http';
import { isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';

/** What came back, or why nothing did. Texts are plain words for the endpoint's owner. */
export type SendResult =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfter: string | null }
  /** Nothing, or not all of it, left this host. */
  | { readonly kind: 'not_sent'; readonly error: string }
  /** All of it left, and no answer came. */
  | { readonly kind: 'unanswered'; readonly error: string }
  | { readonly kind: 'aborted' };

export interface SendInput {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Place {
  readonly host: string;
  readonly port: number;
}

/** How `egress/connector.ts` opens connections: to the place itself, or for a request that a proxy may read. */
interface Connect {
  tunnel(target: Place, signal: AbortSignal): Promise<Socket>;
  plain(target: Place, signal: AbortSignal): Promise<Way>;
}

interface Way {
  readonly socket: Socket;
  /** Set where a proxy reads the request. */
  readonly byProxy:
    | { readonly headers: Readonly<Record<string, string>>; readonly failureOf: (status: number) => Error | undefined }
    | undefined;
}

/** Posts once. Ends within the time limit, whatever the other side does. */
export type Send = (input: SendInput, signal: AbortSignal) => Promise<SendResult>;

export interface SenderOptions {
  /** Opens a connection after its address was checked. Throws `egress_denied` or `egress_unreachable`. */
  readonly connect: Connect;
  readonly clock: Clock;
  /** For the whole exchange, from the look-up of the name on. */
  readonly timeoutMs: number;
}

/** As much of an answer as is read: what counts is the status. */
const MAX_ANSWER_BYTES = 4096;
const MAX_HEADER_BYTES = 16 * 1024;
const DENIED = 'Its address is private, local or reserved. WEBHOOK_ALLOW_PRIVATE_NETWORK lets webhooks go there.';

export function createSender({ connect, clock, timeoutMs }: SenderOptions): Send {
  return async (input, signal) => {
    const deadline = new AbortController();
    const cancel = clock.after(timeoutMs, () => deadline.abort());
    const ended = AbortSignal.any([signal, deadline.signal]);
    let way: Way | undefined;
    try {
      way = await open(connect, input.url, ended);
      const result = await exchange(way, input, ended);
      return signal.aborted && result.kind !== 'answered' ? { kind: 'aborted' } : result;
    } catch (error) {
      if (signal.aborted) return { kind: 'aborted' };
      return { kind: 'not_sent', error: deadline.signal.aborted ? timedOut(timeoutMs) : connectError(error) };
    } finally {
      cancel();
      way?.socket.destroy();
    }
  };
}

async function open(connect: Connect, url: URL, signal: AbortSignal): Promise<Way> {
  const isSecure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const target = { host, port: url.port === '' ? (isSecure ? 443 : 80) : Number(url.port) };
  if (!isSecure) return connect.plain(target, signal);
  return { socket: await secure(await connect.tunnel(target, signal), host, signal), byProxy: undefined };
}

function secure(socket: Socket, host: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const name = isIP(host) === 0 ? { servername: host } : {};
    const secured = connectTls({ socket, host, ...name, ALPNProtocols: ['http/1.1'] });
    const fail = (error: Error) => {
      signal.removeEventListener('abort', onAbort);
      secured.on('error', () => undefined).destroy();
      socket.destroy();
      reject(error);
    };
    const onAbort = () => fail(new Error('aborted'));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    secured.once('error', fail).once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort);
      secured.off('error', fail);
      resolve(secured);
    });
  });
}

function exchange({ socket, byProxy }: Way, { url, headers: own, body }: SendInput, ended: AbortSignal): Promise<SendResult> {
  return new Promise((resolve) => {
    let isWritten = false;
    let answer: SendResult | undefined;
    const end = (why: string) => {
      ended.removeEventListener('abort', onAbort);
      outgoing.destroy();
      resolve(answer ?? { kind: isWritten ? 'unanswered' : 'not_sent', error: why });
    };
    const onAbort = () => end('It did not answer in time.');
    const path = `${url.pathname}${url.search}`;
    const headers = { ...own, ...byProxy?.headers, host: url.host, 'content-length': String(Buffer.byteLength(body)), connection: 'close' };
    const outgoing = request({
      createConnection: () => socket,
      method: 'POST',
      path: byProxy === undefined ? path : `http://${url.host}${path}`,
      setHost: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      headers,
    });
    outgoing.on('finish', () => {
      isWritten = true;
    });
    outgoing.on('response', (response) => {
      const failure = byProxy?.failureOf(response.statusCode ?? 0);
      if (failure !== undefined) {
        answer = { kind: 'not_sent', error: connectError(failure) };
        return end('');
      }
      answer = { kind: 'answered', status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] ?? null };
      drain(response, () => end(''));
    });
    outgoing.on('error', (error) => end(`The connection broke: ${errorName(error)}.`));
    outgoing.on('close', () => end('The connection was closed without an answer.'));
    ended.addEventListener('abort', onAbort, { once: true });
    if (ended.aborted) onAbort();
    else outgoing.end(body);
  });
}

/** Reads a little, so that a short answer ends in order, and calls back once. */
function drain(response: IncomingMessage, done: () => void): void {
  let left = MAX_ANSWER_BYTES;
  response.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left <= 0) done();
  });
  response.on('end', done).on('error', done).on('close', done);
}

function timedOut(timeoutMs: number): string {
  return `It could not be reached within ${timeoutMs / 1000} seconds.`;
}

function connectError(error: unknown): string {
  if (isPlatformError(error, 'egress_denied')) return DENIED;
  if (isPlatformError(error)) return error.detail;
  return `The secure connection failed: ${errorName(error)}.`;
}

/** The short name of a network error: it says what happened, and no more of where than the owner knows. */
function errorName(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'no reason given';
}
