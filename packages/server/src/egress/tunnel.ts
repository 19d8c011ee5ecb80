import { type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ProblemCode } from '@cloister/api';
import { isPlatformError, toPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { type Dialer, dial } from './dial.ts';
import { proxiedHeaders } from './headers.ts';
import { parseTarget, type Target } from './host-policy.ts';
import { createIdleTimer } from './idle-timer.ts';
import { refuseTunnel, sendProblem } from './problem-response.ts';

export interface TunnelOptions {
  readonly isAllowed: (target: Target) => boolean;
  readonly dialer: Dialer;
  readonly log: Logger;
  readonly idleMs: number;
  readonly signal: AbortSignal;
}

type Refusal = { readonly code: ProblemCode; readonly detail: string };

/** Serves `CONNECT host:port`: bytes both ways between the sandbox and a host its policy allows. */
export async function openTunnel(options: TunnelOptions, request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
  const hangUp = new AbortController();
  const onClose = () => hangUp.abort();
  client.once('close', onClose);
  // Without a listener a reset by the sandbox would be an uncaught error.
  client.on('error', () => client.destroy());
  const refuse = (refusal: Refusal) => refuseTunnel(client, refusal.code, refusal.detail);
  const target = parseTarget(request.url ?? '');
  const denied = check(options, target, request.url ?? '');
  if (target === undefined || denied !== undefined) return refuse(denied ?? NOT_A_TARGET);
  try {
    const remote = await dial(options.dialer, target, AbortSignal.any([options.signal, hangUp.signal]));
    client.off('close', onClose);
    if (client.destroyed) return void remote.destroy();
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    if (head.length > 0) remote.write(head);
    join(options, client, remote);
  } catch (error) {
    if (!client.destroyed) refuse(refusalOf(options, target, error));
  }
}

/** Both ends live and die together; each may close its own direction first. */
function join(options: TunnelOptions, client: Duplex, remote: Duplex): void {
  const end = () => {
    idle.stop();
    client.destroy();
    remote.destroy();
  };
  const idle = createIdleTimer(options.dialer.clock, options.idleMs, end);
  for (const side of [client, remote]) side.once('close', end).on('data', () => idle.touch());
  remote.on('error', end);
  client.pipe(remote);
  remote.pipe(client);
}

/** Serves `GET http://host/…` and the like: a plain request through the proxy, under the same rules. */
export async function forwardPlain(options: TunnelOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = URL.parse(request.url ?? '');
  const target =
    url === null || url.protocol !== 'http:' || url.username !== '' || url.password !== '' ? undefined : parseTarget(url.host, 80);
  const denied = check(options, target, request.url ?? '');
  if (url === null || target === undefined || denied !== undefined) {
    const refusal = denied ?? NOT_A_TARGET;
    return sendProblem(response, refusal.code, refusal.detail);
  }
  const hangUp = new AbortController();
  response.once('close', () => hangUp.abort());
  try {
    const remote = await dial(options.dialer, target, AbortSignal.any([options.signal, hangUp.signal]));
    await exchange(options, { url, remote, request, response });
  } catch (error) {
    const refusal = refusalOf(options, target, error);
    if (!response.destroyed) sendProblem(response, refusal.code, refusal.detail);
  }
}

interface Exchange {
  readonly url: URL;
  readonly remote: Awaited<ReturnType<typeof dial>>;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

function exchange(options: TunnelOptions, { url, remote, request, response }: Exchange): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { ...proxiedHeaders(request.headers), host: url.host, connection: 'close' };
    const path = url.pathname + url.search;
    // No agent at all, not even `false`: with one, node leaves `createConnection` aside and dials by itself.
    const outgoing = requestHttp({ createConnection: () => remote, method: request.method ?? 'GET', path, headers });
    const idle = createIdleTimer(options.dialer.clock, options.idleMs, () => remote.destroy());
    for (const side of [request, remote]) side.on('data', () => idle.touch());
    response.once('close', () => {
      idle.stop();
      outgoing.destroy();
      remote.destroy();
      resolve();
    });
    outgoing.on('error', (error) => {
      remote.destroy();
      if (response.headersSent) response.destroy();
      else reject(error);
    });
    outgoing.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, proxiedHeaders(answer.headers));
      answer.once('error', () => response.destroy());
      answer.pipe(response);
    });
    request.pipe(outgoing);
  });
}

const NOT_A_TARGET: Refusal = { code: 'request_invalid', detail: 'The address is not of the form host:port.' };

function check(options: TunnelOptions, target: Target | undefined, asked: string): Refusal | undefined {
  if (target === undefined) {
    options.log.info({ asked: asked.slice(0, 200) }, 'egress refused: not an address');
    return NOT_A_TARGET;
  }
  if (options.isAllowed(target)) return undefined;
  options.log.info({ host: target.host, port: target.port }, 'egress refused by policy');
  return { code: 'egress_denied', detail: `${target.host}:${target.port} is not in the allowed hosts of this environment.` };
}

function refusalOf(options: TunnelOptions, target: Target, error: unknown): Refusal {
  const known = isPlatformError(error) ? error : undefined;
  const code = known?.code ?? 'egress_unreachable';
  options.log.info(
    { host: target.host, port: target.port, code, err: known === undefined ? toPlatformError(error) : undefined },
    'egress failed',
  );
  return { code, detail: known?.detail ?? `${target.host}:${target.port} broke off the connection.` };
}
