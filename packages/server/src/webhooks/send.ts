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

/** Posts once. Ends within the time limit, whatever the other side does. */
export type Send = (input: SendInput, signal: AbortSignal) => Promise<SendResult>;

export interface SenderOptions {
  /** Opens a connection after its address was checked. Throws `egress_denied` or `egress_unreachable`. */
  readonly connect: (target: { readonly host: string; readonly port: number }, signal: AbortSignal) => Promise<Socket>;
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
    let socket: Socket | undefined;
    try {
      socket = await open(connect, input.url, ended);
      const result = await exchange(socket, input, ended);
      return signal.aborted && result.kind !== 'answered' ? { kind: 'aborted' } : result;
    } catch (error) {
      if (signal.aborted) return { kind: 'aborted' };
      return { kind: 'not_sent', error: deadline.signal.aborted ? timedOut(timeoutMs) : connectError(error) };
    } finally {
      cancel();
      socket?.destroy();
    }
  };
}

async function open(connect: SenderOptions['connect'], url: URL, signal: AbortSignal): Promise<Socket> {
  const isSecure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const socket = await connect({ host, port: url.port === '' ? (isSecure ? 443 : 80) : Number(url.port) }, signal);
  return isSecure ? secure(socket, host, signal) : socket;
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

function exchange(socket: Socket, { url, headers, body }: SendInput, ended: AbortSignal): Promise<SendResult> {
  return new Promise((resolve) => {
    let isWritten = false;
    let answer: SendResult | undefined;
    const end = (why: string) => {
      ended.removeEventListener('abort', onAbort);
      outgoing.destroy();
      resolve(answer ?? { kind: isWritten ? 'unanswered' : 'not_sent', error: why });
    };
    const onAbort = () => end('It did not answer in time.');
    const outgoing = request({
      createConnection: () => socket,
      method: 'POST',
      path: `${url.pathname}${url.search}`,
      setHost: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      headers: { ...headers, host: url.host, 'content-length': String(Buffer.byteLength(body)), connection: 'close' },
    });
    outgoing.on('finish', () => {
      isWritten = true;
    });
    outgoing.on('response', (response) => {
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
