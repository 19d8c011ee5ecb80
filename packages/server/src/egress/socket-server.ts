import { lstat, mkdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { PROBLEM_KINDS, PROBLEMS, type ProblemCode } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { TokenBuckets } from '../base/token-buckets.ts';
import type { McpCredentials } from '../core/mcp-credentials.ts';
import type { Provider } from '../core/model.ts';
import type { CallOwner, ModelAccounts } from '../core/model-accounts.ts';
import { holdCall } from './admission.ts';
import type { EgressAudit } from './audit.ts';
import { type CallTracker, createCallTracker, NO_USAGE, untracked } from './call-tracker.ts';
import { answerDemo } from './demo-route.ts';
import type { Dialer } from './dial.ts';
import { forwardPlain } from './forward.ts';
import {
  type CredentialAsker,
  type FoundProvider,
  GATEWAY_SOCKET_NAME,
  type GatewayBinding,
  type McpRefusal,
  type NetworkPolicy,
  type ProviderSource,
} from './gateway.ts';
import { createGuard, type Guard, UNASSIGNED } from './guard.ts';
import { createInspector, type InspectorDeps } from './inspection/inspector.ts';
import type { GatewayLimits } from './limits.ts';
import { isMcpPath, serveMcp } from './mcp.ts';
import { ModelCall } from './model-call.ts';
import { sendProblem } from './problem-response.ts';
import { type ModelRoute, matchRoute, SETTING_BY_PROVIDER } from './routes.ts';
import { openTunnel, type TunnelOptions } from './tunnel.ts';
import type { UpstreamAgents } from './upstream-agents.ts';
import { sendWireError } from './wire-response.ts';

export interface SocketServerDeps {
  readonly providers: ProviderSource;
  readonly modelIdleMs: number;
  readonly limits: GatewayLimits;
  readonly agents: UpstreamAgents;
  /** For places that a tenant has named: they connect to checked addresses only. */
  readonly checkedAgents: UpstreamAgents;
  readonly dialer: Dialer;
  readonly audit: EgressAudit;
  readonly accounts: ModelAccounts | undefined;
  readonly mcpCredentials?: McpCredentials | undefined;
  /** Undefined where TLS cannot be looked into. */
  readonly inspection: InspectorDeps | undefined;
  /** Of connections to other hosts, by sandbox; undefined for no limit. */
  readonly buckets: TokenBuckets | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface SocketServer {
  readonly path: string;
  /** From now on these policies hold, for open connections too. */
  apply(policies: readonly NetworkPolicy[]): void;
  assign(sessionId: string): Promise<void>;
  beginTurn(): void;
  abortModelCalls(): void;
  close(): Promise<void>;
}

interface Sandbox {
  readonly deps: SocketServerDeps;
  readonly binding: GatewayBinding;
  readonly log: Logger;
  readonly calls: Set<{ abort(): void }>;
  readonly guard: Guard;
  readonly tunnels: Set<Duplex | ServerResponse>;
  readonly tunnelOptions: TunnelOptions;
  readonly asker: () => CredentialAsker;
}

/** What the kernel's address of a unix socket holds, without its closing zero. */
const MAX_PATH_BYTES = 107;

/** Where a binding's socket lies. Throws `config_invalid` when the kernel could not hold the path. */
export function socketPathOf(binding: GatewayBinding): string {
  const socketPath = path.join(binding.directory, GATEWAY_SOCKET_NAME);
  const bytes = Buffer.byteLength(socketPath);
  if (bytes <= MAX_PATH_BYTES) return socketPath;
  const detail = `The path of the gateway's socket has ${bytes} bytes, ${MAX_PATH_BYTES} are possible: choose a shorter DATA_DIR. (${socketPath})`;
  throw new PlatformError('config_invalid', {
    detail,
    fields: [{ pointer: 'DATA_DIR', message: 'the path is too long for a unix socket' }],
  });
}

/** Serves one sandbox on its socket until closed. */
export async function openSocketServer(deps: SocketServerDeps, binding: GatewayBinding): Promise<SocketServer> {
  const socketPath = socketPathOf(binding);
  const closing = new AbortController();
  const log = deps.log.child({ sandboxId: binding.sandboxId, sessionId: binding.sessionId });
  const guard = await openGuard(deps, binding, log);
  const { idleMs, totalMs } = deps.limits.tunnel;
  const options = { guard, dialer: deps.dialer, log, idleMs, totalMs, signal: closing.signal };
  const { inspection, limits } = deps;
  let sessionId = binding.sessionId ?? null;
  const asker = () => ({ tenantId: binding.tenantId, sessionId, agentId: binding.subject?.agentId ?? null });
  const inspector = inspection && createInspector({ deps: inspection, options, asker, limits });
  const tunnelOptions = { ...options, inspect: inspector?.serve };
  const sandbox: Sandbox = { deps, binding, log, calls: new Set(), guard, tunnels: new Set(), tunnelOptions, asker };
  const server = createServer({ ...deps.limits.server, highWaterMark: 64 * 1024 }, (request, response) =>
    onRequest(sandbox, request, response),
  );
  server.maxConnections = deps.limits.maxConnections;
  server.on('connect', (request, socket, head) => onConnect(sandbox, request, socket, head));
  await removeStale(socketPath);
  await inspection?.authority.handOut(binding.directory);
  await listen(server, socketPath);
  const shut = async () => {
    closing.abort();
    guard.close();
    inspector?.close();
    abortAll(sandbox);
    for (const tunnel of sandbox.tunnels) tunnel.destroy();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    await rm(socketPath, { force: true });
  };
  let closed: Promise<void> | undefined;
  return {
    path: socketPath,
    apply: guard.apply,
    async assign(assigned) {
      const { audit } = deps;
      const used = await audit.usage({ tenantId: binding.tenantId, sessionId: assigned });
      sessionId = assigned;
      guard.assign(assigned, used);
    },
    beginTurn: guard.beginTurn,
    abortModelCalls: () => abortAll(sandbox),
    // Once only: by the second time the path may belong to the next connection.
    close() {
      closed ??= shut();
      return closed;
    },
  };
}

async function openGuard(deps: SocketServerDeps, { sandboxId, tenantId, sessionId, network }: GatewayBinding, log: Logger): Promise<Guard> {
  const { limits, buckets, audit, clock } = deps;
  const used = sessionId === undefined ? { requests: 0, bytes: 0 } : await audit.usage({ tenantId, sessionId });
  return createGuard({ sandboxId, tenantId, sessionId, policies: [network], used, limits, buckets, audit, clock, log });
}

function abortAll(sandbox: Sandbox): void {
  for (const call of sandbox.calls) call.abort();
}

/** A server that was killed leaves its socket file behind; nothing else is removed. */
async function removeStale(socketPath: string): Promise<void> {
  await mkdir(path.dirname(socketPath), { recursive: true });
  const found = await lstat(socketPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new PlatformError('config_invalid', { detail: `${socketPath} is in the way of the gateway's socket; remove it.` });
  await rm(socketPath);
}

async function listen(server: Server, socketPath: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // Mode 0666: the sandbox runs under another user; who sees the directory decides who may connect.
    server.listen({ path: socketPath, readableAll: true, writableAll: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function onRequest(sandbox: Sandbox, request: IncomingMessage, response: ServerResponse): void {
  // A reset by the sandbox also closes the response, and that is where it is handled.
  request.on('error', () => undefined);
  response.on('error', () => undefined);
  const { method = 'GET', url = '/' } = request;
  if (isMcpPath(url)) {
    onMcp(sandbox, request, response);
    return;
  }
  if (/^https?:\/\//i.test(url)) {
    onPlainForward(sandbox, request, response);
    return;
  }
  const match = matchRoute(method, url.split('?', 1)[0] ?? '/');
  if (match.type === 'hello') return void response.writeHead(200, { 'content-length': 0 }).end();
  if (match.type === 'route') {
    onModelRoute(sandbox, match.route, request, response);
    return;
  }
  sandbox.log.info({ method, path: url.slice(0, 200) }, 'egress refused: no such route');
  request.resume();
  if (match.type === 'none') {
    sendProblem(response, 'route_not_found', 'The gateway serves /{provider}/… and CONNECT only.');
    return;
  }
  const message = `The gateway does not pass ${method} ${(url.split('?', 1)[0] ?? '').slice(0, 200)} on to ${match.provider}.`;
  sendWireError(response, match.wire, { code: 'route_not_found', status: 404, message });
}

function onModelRoute(sandbox: Sandbox, route: ModelRoute, request: IncomingMessage, response: ServerResponse): void {
  const { deps, log, calls, guard } = sandbox;
  if (!guard.isAssigned()) {
    log.info({ provider: route.provider }, "a model call was refused: the sandbox is no session's yet");
    request.resume();
    sendWireError(response, route.wire, { code: 'egress_denied', status: 403, message: UNASSIGNED }, { 'x-should-retry': 'false' });
    return;
  }
  const isFull = calls.size >= deps.limits.maxModelCalls;
  const tracker = route.isGeneration && !isFull ? trackerOf(sandbox, route) : untracked;
  if (isFull) {
    const message = `This sandbox already has ${calls.size} model requests under way.`;
    request.resume();
    sendWireError(response, route.wire, { code: 'capacity_exhausted', status: 429, message }, { 'retry-after': '1' });
    return;
  }
  if (route.provider === 'demo') {
    onDemo(sandbox, { route, request, response, tracker });
    return;
  }
  // It counts from now on, so that many at once cannot pass the limit while their keys are looked up.
  const pending = { abort: () => void response.destroy() };
  calls.add(pending);
  findProvider(sandbox, route.provider)
    .then((found) => {
      if (response.destroyed) tracker.end(NO_USAGE, 'aborted', route.model);
      else if ('code' in found) refuseCall({ route, request, response, tracker }, found);
      else admitCall(sandbox, { route, request, response, tracker }, found);
    })
    .catch((error: unknown) => {
      log.error({ err: error }, 'a model call failed for a reason of our own');
      tracker.end(NO_USAGE, 'aborted', route.model);
      response.destroy();
    })
    .finally(() => calls.delete(pending));
}

interface RoutedRequest {
  readonly route: ModelRoute;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly tracker: CallTracker;
  /** What goes up instead of the request's own body, which was read before. */
  readonly body?: Buffer;
}

interface Refusal {
  readonly code: ProblemCode;
  readonly message: string;
  readonly status: number;
}

/** Why there is no key is told in plain words; a store that does not answer is worth another try. */
async function findProvider({ deps, asker }: Sandbox, provider: Provider): Promise<FoundProvider | Refusal> {
  try {
    const found = await deps.providers.find({ ...asker(), provider });
    if (found !== undefined) return found;
    const message = `The provider ${provider} has no key here: put one into a vault, or set ${SETTING_BY_PROVIDER[provider]} in the server's environment and restart it.`;
    return { code: 'provider_not_configured', status: 400, message };
  } catch (error) {
    if (!isPlatformError(error)) throw error;
    return { code: error.code, status: PROBLEM_KINDS[PROBLEMS[error.code].kind].status, message: error.detail };
  }
}

function refuseCall({ route, request, response, tracker }: RoutedRequest, { code, message, status }: Refusal): void {
  tracker.begin(route.model);
  tracker.end(NO_USAGE, { code, message, status, retryAfterMs: null }, route.model);
  request.resume();
  const isFinal = status < 500;
  sendWireError(response, route.wire, { code, status, message }, isFinal ? { 'x-should-retry': 'false' } : {});
}

function trackerOf(sandbox: Sandbox, { provider }: ModelRoute): CallTracker {
  const { deps, binding, log } = sandbox;
  const { clock, accounts } = deps;
  return createCallTracker({ observer: binding.observer, provider, clock, log, accounts, owner: ownerOf(sandbox) });
}

function ownerOf({ asker, binding }: Sandbox): CallOwner {
  const { tenantId, sessionId, agentId } = asker();
  return { tenantId, sessionId: sessionId ?? '', agentId: agentId ?? '', turnId: binding.observer.turn?.id ?? null };
}

/** Where the tenant has budgets the call waits until they have room for it. */
function admitCall(sandbox: Sandbox, routed: RoutedRequest, found: FoundProvider): void {
  const { deps, binding, calls, log } = sandbox;
  const { accounts } = deps;
  if (!routed.route.isGeneration || accounts?.needsAdmission(binding.tenantId) !== true) {
    beginCall(sandbox, routed, found);
    return;
  }
  const onOver = () => void calls.delete(held);
  const onAdmitted = (body: Buffer) => {
    onOver();
    beginCall(sandbox, { ...routed, body }, found);
  };
  const { maxBodyBytes } = deps.limits;
  const common = { accounts, owner: ownerOf(sandbox), turn: binding.observer.turn, log, maxBodyBytes };
  const held = holdCall({ ...routed, ...common, onAdmitted, onOver });
  calls.add(held);
}

function beginCall({ deps, calls, log }: Sandbox, routed: RoutedRequest, { config, owner }: FoundProvider): void {
  const { clock, modelIdleMs, limits } = deps;
  const agents = owner === 'managed' ? deps.agents : deps.checkedAgents;
  const { connectTimeoutMs, maxBodyBytes } = limits;
  const onDone = () => calls.delete(call);
  const call = new ModelCall({ ...routed, config, agents, clock, log, modelIdleMs, connectTimeoutMs, maxBodyBytes, onDone });
  calls.add(call);
  call.start();
}

function onDemo(sandbox: Sandbox, { route, request, response, tracker }: RoutedRequest): void {
  const { deps, calls, log } = sandbox;
  const abort = new AbortController();
  const call = { abort: () => void response.destroy() };
  calls.add(call);
  response.once('close', () => {
    calls.delete(call);
    tracker.end(NO_USAGE, 'aborted', 'demo');
    abort.abort();
  });
  answerDemo({ route, request, response, tracker, clock: deps.clock, maxBodyBytes: deps.limits.maxBodyBytes }, abort.signal).catch(
    (error: unknown) => {
      if (abort.signal.aborted || response.destroyed) return;
      log.error({ err: error }, 'the demo model failed');
      response.destroy();
    },
  );
}

function onMcp(
  { deps, binding, log, tunnels, tunnelOptions: options, asker }: Sandbox,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  tunnels.add(response);
  response.once('close', () => tunnels.delete(response));
  const { mcpCredentials: credentials, inspection } = deps;
  const onRefusal = (refusal: McpRefusal) => binding.observer.onMcpRefusal?.(refusal);
  const gateway = { options, servers: binding.mcpServers ?? [], credentials, upstreamCa: inspection?.upstreamCa, asker, onRefusal };
  serveMcp(gateway, request, response).catch((error: unknown) => {
    log.error({ err: error }, 'a request to an MCP server failed');
    response.destroy();
  });
}

function onPlainForward(sandbox: Sandbox, request: IncomingMessage, response: ServerResponse): void {
  sandbox.tunnels.add(response);
  response.once('close', () => sandbox.tunnels.delete(response));
  forwardPlain(sandbox.tunnelOptions, request, response).catch((error: unknown) => {
    sandbox.log.error({ err: error }, 'a plain request through the gateway failed');
    response.destroy();
  });
}

function onConnect(sandbox: Sandbox, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  sandbox.tunnels.add(socket);
  socket.once('close', () => sandbox.tunnels.delete(socket));
  openTunnel(sandbox.tunnelOptions, request, socket, head).catch((error: unknown) => {
    sandbox.log.error({ err: error }, 'a tunnel through the gateway failed');
    socket.destroy();
  });
}
