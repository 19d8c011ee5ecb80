import { chmod, lstat, unlink } from 'node:fs/promises';
import http from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { systemClock } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { EndpointOptions } from '../runtime/docker/endpoint.ts';
import { createEngine } from '../runtime/docker/engine.ts';
import { createHostPaths } from '../runtime/docker/host-paths.ts';
import { BUILD_RULES } from './build.ts';
import { type CallDeps, type Outcome, RULES } from './calls.ts';
import { pinInstallation } from './installation.ts';
import { type BrokerPolicy, refusal } from './policy.ts';
import { findRule, readCall } from './request.ts';

export interface BrokerOptions {
  /** Where the broker listens. */
  readonly socketPath: string;
  /** Remembers the installation that is served; undefined keeps it in memory. */
  readonly pinFile: string | undefined;
  readonly engine: EndpointOptions;
  readonly hostDataDir: string | undefined;
  readonly policy: BrokerPolicy;
  readonly log: Logger;
}

export interface Broker {
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 1024;
const HEADER_MS = 10_000;
const REQUEST_MS = 120_000;

/**
 * Stands between a server and the engine's socket, in a process of its own: whoever may speak to the engine is root on
 * its host, and a server that was broken into should not be. Only the calls that the driver makes get through, each in
 * its one shape and on this installation's own containers; what is sent to the engine is always made anew.
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { socketPath, policy, log } = options;
  const engine = createEngine({ ...options.engine, clock: systemClock });
  const { kind } = await engine.address();
  if (kind !== 'docker')
    throw new PlatformError('config_invalid', {
      detail: 'The socket broker is for Docker. Podman without root needs none: its socket gives what its user has anyway.',
    });
  const hostPaths = createHostPaths({ engine, dataDir: policy.dataDir, hostDataDir: options.hostDataDir });
  await hostPaths.onHost(policy.dataDir);
  const own = pinInstallation({ file: options.pinFile, log });
  const deps: CallDeps = { engine, own, policy, hostPaths, known: { ids: new Set() } };
  const server = http.createServer({ maxHeaderSize: 16 * 1024, headersTimeout: HEADER_MS, requestTimeout: REQUEST_MS });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('request', (request, response) => void serve({ deps, log }, request, response));
  const raw = new Set<Duplex>();
  server.on('upgrade', (request, socket, head) => {
    raw.add(socket);
    socket.once('close', () => raw.delete(socket));
    void serveRaw({ deps, log }, request, { socket, head });
  });
  await listen(server, socketPath);
  log.info({ socket: socketPath, builds: policy.allowsBuild }, 'the socket broker listens');
  return {
    async close() {
      server.closeAllConnections();
      for (const socket of raw) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      engine.close();
    },
  };
}

async function listen(server: http.Server, socketPath: string): Promise<void> {
  // A broker that was killed leaves its socket; anything else in this place is not ours to remove.
  const found = await lstat(socketPath).catch(() => undefined);
  if (found?.isSocket() === true) await unlink(socketPath);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', (cause) =>
    reject(new PlatformError('config_invalid', { detail: `BROKER_SOCKET: the broker cannot listen at ${socketPath}.`, cause })),
  );
  server.listen(socketPath, resolve);
  await promise;
  await chmod(socketPath, 0o660);
}

interface Context {
  readonly deps: CallDeps;
  readonly log: Logger;
}

async function decide({ deps }: Context, request: http.IncomingMessage, head?: Buffer): Promise<Outcome> {
  const rules = deps.policy.allowsBuild ? [...BUILD_RULES, ...RULES] : RULES;
  const target = findRule(rules, request.method, request.url);
  const isRaw = target.rule.kind === 'raw' || target.rule.kind === 'raw-json';
  if (isRaw !== (head !== undefined)) throw refusal(isRaw ? 'this call asks for the raw connection' : 'this call has no raw connection');
  return target.rule.run(deps, await readCall(target, request, head));
}

async function serve(context: Context, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  try {
    const outcome = await decide(context, request);
    if (outcome.type === 'hijack') throw refusal('this call asks for the raw connection');
    if (outcome.type === 'answer') return sendJson(response, outcome.status, outcome.body, outcome.headers);
    const signal = outcome.isKept === true ? undefined : gone.signal;
    const answer = await context.deps.engine.open({ ...outcome.request, signal });
    const type = answer.body.headers['content-type'];
    response.writeHead(answer.status, type === undefined ? {} : { 'content-type': type });
    // Who waits for a container's end has to see at once that the engine knows of it.
    response.flushHeaders();
    await pipeline(answer.body, response);
  } catch (error) {
    if (gone.signal.aborted) return;
    const known = explain(context, request, error);
    if (known === undefined || response.headersSent) return void response.destroy();
    sendJson(response, 403, { message: known }, { connection: 'close' });
  }
}

async function serveRaw(
  context: Context,
  request: http.IncomingMessage,
  { socket, head }: { readonly socket: Duplex; readonly head: Buffer },
): Promise<void> {
  socket.on('error', (error) => context.log.debug({ err: error }, 'a raw connection broke'));
  try {
    const outcome = await decide(context, request, head);
    if (outcome.type === 'answer') return void socket.end(rawAnswer(outcome.status, outcome.body));
    if (outcome.type !== 'hijack') throw refusal('this call has no raw connection');
    const opened = await context.deps.engine.hijack(outcome.request);
    if (opened.type === 'refused') return void socket.end(rawAnswer(opened.status, { message: opened.message }));
    socket.write('HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
    if (opened.head.length > 0) socket.write(opened.head);
    join(socket, opened.socket);
  } catch (error) {
    const known = explain(context, request, error);
    if (known === undefined) return void socket.destroy();
    socket.end(rawAnswer(403, { message: known }));
  }
}

/** Each side's end is passed on by itself: a program whose input has ended still writes. */
function join(client: Duplex, engine: Duplex): void {
  engine.on('error', () => client.destroy());
  engine.once('close', () => client.destroy());
  client.once('close', () => engine.destroy());
  client.pipe(engine);
  engine.pipe(client, { end: false });
  engine.once('end', () => client.end());
}

/** The reason for the caller, or undefined when the engine is to blame: then the connection breaks as the engine's would. */
function explain({ log }: Context, { method, url }: http.IncomingMessage, error: unknown): string | undefined {
  const call = `${method} ${(url ?? '').split('?')[0]?.slice(0, 200)}`;
  if (isPlatformError(error, 'broker_refused')) {
    log.warn({ call, reason: error.detail }, 'a call was refused');
    return `Cloister's socket broker refuses this call: ${error.detail}.`;
  }
  log.warn({ err: error, call }, 'a call could not be passed on');
  return undefined;
}

function sendJson(response: http.ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  if (status === 204 || status === 304 || body === undefined) return void response.writeHead(status, headers).end();
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), ...headers }).end(text);
}

function rawAnswer(status: number, body: unknown): string {
  const text = JSON.stringify(body ?? {});
  const reason = http.STATUS_CODES[status] ?? 'Error';
  return `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`;
}
