import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { PlatformError } from '../../base/errors.ts';
import type { InjectedCredential } from '../../core/injected-credential.ts';
import { errorCode } from '../dial.ts';
import { forward, type Rewrite } from '../forward.ts';
import type { CredentialAsker, CredentialSource } from '../gateway.ts';
import type { Visit } from '../guard.ts';
import { createHostPolicy, type Target } from '../host-policy.ts';
import type { GatewayLimits } from '../limits.ts';
import { sendProblem } from '../problem-response.ts';
import type { TunnelOptions } from '../tunnel.ts';
import type { Authority } from './authority.ts';
import { createMask, maskText } from './mask.ts';

export interface InspectorDeps {
  readonly authority: Authority;
  readonly credentials: CredentialSource;
  /** Trusted for the hosts beyond, besides the public authorities. */
  readonly upstreamCa: readonly string[] | undefined;
}

export interface Inspector {
  /** Takes over a tunnel: answers TLS as the host, and serves each request in it under the policy. */
  serve(target: Target, client: Duplex, head: Buffer): void;
  close(): void;
}

interface Inspected {
  readonly deps: InspectorDeps;
  readonly options: TunnelOptions;
  /** Who the sandbox is by now. */
  readonly asker: () => CredentialAsker;
}

export function createInspector(inspected: Inspected & { readonly limits: GatewayLimits }): Inspector {
  const { deps, options, limits } = inspected;
  const targets = new WeakMap<object, Target>();
  // It listens nowhere: the connections come out of the tunnels.
  const server = createServer({ ...limits.server }, (request, response) => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const target = targets.get(request.socket);
    if (target === undefined) return void response.destroy();
    serveRequest(inspected, { target, request, response }).catch((error: unknown) => {
      options.log.error({ err: error }, 'an inspected request failed');
      response.destroy();
    });
  });
  return {
    serve(target, client, head) {
      deps.authority
        .contextFor(target.host)
        .then((secureContext) => {
          if (client.destroyed) return;
          client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
          if (head.length > 0) client.unshift(head);
          const socket = new TLSSocket(client, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
          socket.on('error', (error) => {
            options.log.info({ host: target.host, why: errorCode(error) }, 'the sandbox does not speak TLS with the gateway');
            client.destroy();
          });
          socket.once('close', () => client.destroy());
          targets.set(socket, target);
          server.emit('connection', socket);
        })
        .catch((error: unknown) => {
          options.log.error({ err: error }, 'a tunnel could not be looked into');
          client.destroy();
        });
    },
    close: () => server.closeAllConnections(),
  };
}

interface Request {
  readonly target: Target;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

async function serveRequest({ deps, options, asker }: Inspected, { target, request, response }: Request): Promise<void> {
  const authority = isIP(target.host) === 6 ? `[${target.host}]` : target.host;
  const host = target.port === 443 ? authority : `${authority}:${target.port}`;
  const url = request.url?.startsWith('/') === true ? URL.parse(`https://${host}${request.url}`) : null;
  const method = request.method ?? 'GET';
  if (url === null || url.host !== new URL(`https://${host}`).host) {
    const ask = { way: 'inspected', method, target } as const;
    const refusal = options.guard.refuse(ask, 'malformed', { code: 'request_invalid', detail: 'The request names no path of this host.' });
    return sendProblem(response, refusal.code, refusal.detail);
  }
  await forward(options, {
    ask: { way: 'inspected', method, target, path: url.pathname },
    host,
    path: url.pathname + url.search,
    request,
    response,
    secure: (remote, signal) => secure(deps, target, remote, signal),
    rewrite: (visit) => rewriteFor(deps, asker(), visit),
  });
}

/** TLS to the host itself, whose certificate must be good for its name. */
export function secure(
  { upstreamCa }: Pick<InspectorDeps, 'upstreamCa'>,
  { host, port }: Target,
  remote: Socket,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      socket: remote,
      host,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ALPNProtocols: ['http/1.1'],
      ...(upstreamCa === undefined ? {} : { ca: [...upstreamCa] }),
    });
    const fail = (why: string, cause?: unknown) => {
      socket.destroy();
      remote.destroy();
      reject(new PlatformError('egress_unreachable', { detail: `${host}:${port} could not be reached by TLS: ${why}.`, cause }));
    };
    const onAbort = () => fail('it was given up');
    if (signal.aborted) return onAbort();
    const onError = (error: Error) => fail(errorCode(error), error);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', onError);
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      resolve(socket);
    });
  });
}

async function rewriteFor(
  { credentials }: InspectorDeps,
  asker: CredentialAsker,
  { target, credential: name }: Visit,
): Promise<Rewrite | undefined> {
  if (name === undefined) return undefined;
  const covers = (hosts: readonly string[]) =>
    createHostPolicy([{ allowedHosts: hosts }])({ target, method: 'GET', path: '/' }).type === 'allowed';
  const credential = await credentials.find({ ...asker, name, covers });
  if (credential !== undefined) return withCredential(credential);
  throw new PlatformError('egress_denied', { detail: `There is no credential "${name}" for ${target.host} that this session may use.` });
}

export function withCredential({ header, value, secrets }: InjectedCredential): Rewrite {
  return {
    request(headers: OutgoingHttpHeaders) {
      // What is compressed could not be searched for the secret.
      return { ...headers, [header]: value, 'accept-encoding': 'identity' };
    },
    response(headers: OutgoingHttpHeaders) {
      const masked = Object.entries(headers).map(([name, text]) => [
        name,
        Array.isArray(text) ? text.map((one) => maskText(one, secrets)) : maskText(String(text), secrets),
      ]);
      return Object.fromEntries(masked);
    },
    body: () => createMask(secrets),
  };
}
