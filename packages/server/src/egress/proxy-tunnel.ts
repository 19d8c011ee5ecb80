import { type IncomingMessage, request } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { PlatformError } from '../base/errors.ts';
import type { Target } from './host-policy.ts';
import { authorityOf, type ProxyServer } from './proxies.ts';

/** What a proxy is asked for, and for whom. */
interface Wanted {
  readonly proxy: ProxyServer;
  /** What people are told of. */
  readonly target: Target;
  readonly signal: AbortSignal;
}

/**
 * A connection through the proxy to `authority`: the name of the target, or an address of it. Throws
 * `egress_proxy_failed`, and `egress_unreachable` when the proxy says that it could not reach it.
 */
export async function openTunnelBy(wanted: Wanted, authority: string = authorityOf(wanted.target)): Promise<Socket> {
  const { proxy, target, signal } = wanted;
  const socket = await connectToProxy(wanted);
  return new Promise((resolve, reject) => {
    const headers = { host: authority, ...credentialsFor(proxy) };
    const outgoing = request({ createConnection: () => socket, method: 'CONNECT', path: authority, headers });
    const settle = (done: () => void) => {
      signal.removeEventListener('abort', onAbort);
      done();
    };
    const fail = (error: Error) =>
      settle(() => {
        socket.on('error', () => undefined).destroy();
        reject(error);
      });
    const onAbort = () => fail(proxyFailed(proxy, target, 'did not answer in time'));
    signal.addEventListener('abort', onAbort, { once: true });
    outgoing.once('error', (error) => fail(proxyFailed(proxy, target, `broke off (${codeOf(error)})`, error)));
    outgoing.once('connect', (answer, _socket, head) => {
      const refusal = refusalOf(proxy, target, answer);
      if (refusal !== undefined) return fail(refusal);
      if (head.length > 0) socket.unshift(head);
      settle(() => resolve(socket));
    });
    if (signal.aborted) onAbort();
    else outgoing.end();
  });
}

/** A connection to the proxy itself, to which a plain request is written with the whole URL. Throws `egress_proxy_failed`. */
export function connectToProxy({ proxy, target, signal }: Wanted): Promise<Socket> {
  const { host, port, isSecure } = proxy;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(proxyFailed(proxy, target, 'did not answer in time'));
    const plain = connectTcp({ host, port, allowHalfOpen: true, noDelay: true });
    const name = isIP(host) === 0 ? { servername: host } : {};
    const socket = isSecure ? connectTls({ socket: plain, host, ...name, ALPNProtocols: ['http/1.1'] }) : plain;
    const ready = isSecure ? 'secureConnect' : 'connect';
    const settle = (done: () => void) => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError).off(ready, onReady);
      plain.off('error', onError);
      done();
    };
    const fail = (error: Error) =>
      settle(() => {
        for (const one of new Set([socket, plain])) one.on('error', () => undefined).destroy();
        reject(error);
      });
    const onReady = () => settle(() => resolve(isSecure ? tied(socket, plain) : socket));
    const onError = (error: Error) => fail(proxyFailed(proxy, target, `could not be reached (${codeOf(error)})`, error));
    const onAbort = () => fail(proxyFailed(proxy, target, 'did not answer in time'));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once(ready, onReady).once('error', onError);
    if (isSecure) plain.once('error', onError);
  });
}

/** What a request that the proxy reads says besides. */
export function credentialsFor({ credentials }: ProxyServer): { readonly 'proxy-authorization'?: string } {
  return credentials === undefined ? {} : { 'proxy-authorization': credentials };
}

/** Only a proxy answers so: no host that it reached does. */
export const PROXY_WANTS_CREDENTIALS = 407;

/** That the proxy does not take who we are. */
export function credentialsRefused(proxy: ProxyServer, target: Target): PlatformError {
  return proxyFailed(proxy, target, `wants a user and a password, or others than it was given (${PROXY_WANTS_CREDENTIALS})`);
}

function refusalOf(proxy: ProxyServer, target: Target, { statusCode = 0 }: IncomingMessage): PlatformError | undefined {
  if (statusCode >= 200 && statusCode < 300) return undefined;
  if (statusCode === PROXY_WANTS_CREDENTIALS) return credentialsRefused(proxy, target);
  if (statusCode < 500) return proxyFailed(proxy, target, `does not allow it (${statusCode})`);
  const detail = `${authorityOf(target)} could not be reached: the proxy of ${proxy.setting} answered ${statusCode}.`;
  return new PlatformError('egress_unreachable', { detail });
}

/** Where the proxy is stays between the operator and the log. */
function proxyFailed(proxy: ProxyServer, target: Target, what: string, cause?: unknown): PlatformError {
  const detail = `${authorityOf(target)} could not be reached: the proxy of ${proxy.setting} ${what}.`;
  return new PlatformError('egress_proxy_failed', { detail, cause: new Error(`The proxy is ${authorityOf(proxy)}.`, { cause }) });
}

/** Closing one closes the other, also where TLS ends without a word. */
function tied(secured: Socket, plain: Socket): Socket {
  secured.once('close', () => plain.destroy());
  plain.on('error', () => secured.destroy());
  return secured;
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : 'the connection failed';
}
