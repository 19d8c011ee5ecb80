import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type RequestListener, request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { ProviderConfig } from '../../src/config.ts';
import type { Provider } from '../../src/core/model.ts';
import type { HeldTurn } from '../../src/core/model-accounts.ts';
import { createEgressAudit, type EgressAudit } from '../../src/egress/audit.ts';
import { createEgressGateway, type EgressGatewayOptions } from '../../src/egress/egress-gateway.ts';
import type {
  EgressGateway,
  GatewayConnection,
  McpServer,
  ModelCallEnd,
  ModelCallObserver,
  NetworkPolicy,
  PolicySubject,
} from '../../src/egress/gateway.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import type { Accounts } from '../../src/usage/accounts.ts';

export const KEY = 'sk-real-key-0123456789';

/** Parts of a test: a fake model that insists on the real key, a gateway to it, one sandbox's socket. */
export interface Bench extends AsyncDisposable {
  readonly model: FakeModel;
  readonly gateway: EgressGateway;
  readonly store: Store;
  readonly audit: EgressAudit;
  readonly connection: GatewayConnection;
  /** Closes the sandbox's socket, and opens it for the session's next sandbox. */
  reopen(): Promise<void>;
  readonly socketPath: string;
  readonly directory: string;
  readonly starts: readonly { readonly callId: string; readonly provider: string; readonly model: string | null }[];
  readonly ends: readonly ModelCallEnd[];
  /** The one end there must be by now. */
  onlyEnd(): ModelCallEnd;
}

export interface BenchOptions extends Partial<Omit<EgressGatewayOptions, 'audit'>> {
  readonly network?: NetworkPolicy;
  readonly subject?: PolicySubject;
  readonly mcpServers?: readonly McpServer[];
  /** Made on the store of the bench. */
  readonly accountsOf?: (store: Store) => Accounts;
  readonly turn?: HeldTurn;
  readonly onMcpRefusal?: NonNullable<ModelCallObserver['onMcpRefusal']>;
}

export function providersAt(url: string): ReadonlyMap<Provider, ProviderConfig> {
  const bearer = { header: 'authorization', value: `Bearer ${KEY}` };
  return new Map<Provider, ProviderConfig>([
    ['anthropic', { baseUrl: url, auth: { header: 'x-api-key', value: KEY } }],
    ['openai', { baseUrl: `${url}/v1`, auth: bearer }],
    ['google', { baseUrl: `${url}/v1beta`, auth: { header: 'x-goog-api-key', value: KEY } }],
    ['deepseek', { baseUrl: url, auth: bearer }],
  ]);
}

/** A store with the session of the bench in it, and the audit on it. */
export async function openAudit(): Promise<{ readonly store: Store; readonly audit: EgressAudit }> {
  const store = await openSqliteStore({ file: ':memory:', clock: systemClock });
  const names = { tenantId: 'default', id: 'ses_1', agentId: 'agt_1', environmentId: 'env_1' };
  await store.sessions.create({ ...names, agentVersion: 1, agent: {}, environment: {}, title: null, metadata: {}, now: Date.now() });
  return { store, audit: createEgressAudit({ store: store.egress, clock: systemClock, log: silentLogger, rowsPerSession: 1000 }) };
}

export async function openBench(options: BenchOptions = {}): Promise<Bench> {
  const model = await startFakeModel({ requireKey: KEY });
  const directory = await mkdtemp(path.join(tmpdir(), 'egress-'));
  const starts: { callId: string; provider: string; model: string | null }[] = [];
  const ends: ModelCallEnd[] = [];
  const { turn, onMcpRefusal = () => undefined, ...others } = options;
  const observer: ModelCallObserver = {
    turn,
    onStart: (call) => void starts.push(call),
    onEnd: (call) => void ends.push(call),
    onMcpRefusal,
  };
  const { network = { allowedHosts: [] }, subject, mcpServers, accountsOf, ...gatewayOptions } = others;
  const { store, audit } = await openAudit();
  const accounts = accountsOf?.(store);
  const gateway = createEgressGateway({
    audit,
    accounts,
    providers: providersAt(model.url),
    modelIdleMs: 10_000,
    clock: systemClock,
    log: silentLogger,
    ...gatewayOptions,
  });
  const names = { tenantId: 'default', sessionId: 'ses_1' };
  const open = (sandboxId: string) => gateway.open({ sandboxId, ...names, directory, network, subject, mcpServers, observer });
  let connection = await open('sbx_1');
  return {
    model,
    gateway,
    store,
    audit,
    get connection() {
      return connection;
    },
    async reopen() {
      await connection.close();
      connection = await open('sbx_2');
    },
    socketPath: path.join(directory, 'gateway.sock'),
    directory,
    starts,
    ends,
    onlyEnd() {
      assert.equal(starts.length, 1, 'one start');
      assert.equal(ends.length, 1, 'one end');
      const [end] = ends;
      assert.ok(end);
      assert.equal(end.callId, starts[0]?.callId);
      return end;
    },
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await accounts?.stop();
      await audit.close();
      await store.close();
      await model.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export interface Ask {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Of the whole body; rejects when the connection breaks. */
  text(): Promise<string>;
  readonly message: IncomingMessage;
  hangUp(): void;
}

/** A request over the unix socket, as the forwarder in a sandbox passes it on. Resolves with the headers. */
export function ask(socketPath: string, { method = 'POST', path: target, headers = {}, body }: Ask): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const json = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = request({
      socketPath,
      method,
      path: target,
      headers: { 'content-type': 'application/json', ...headers },
      agent: false,
    });
    outgoing.once('error', reject);
    outgoing.once('response', (message) => {
      const text = async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of message) chunks.push(Buffer.from(chunk));
        return Buffer.concat(chunks).toString('utf8');
      };
      resolve({ status: message.statusCode ?? 0, headers: message.headers, text, message, hangUp: () => outgoing.destroy() });
    });
    outgoing.end(json);
  });
}

/** One request per wire, in the form its clients send it. */
export const WIRE_REQUESTS = {
  anthropic: (text: string, stream = true): Ask => ({
    path: '/anthropic/v1/messages?beta=true',
    headers: { 'x-api-key': 'placeholder' },
    body: { model: 'claude-x', stream, max_tokens: 100, messages: [{ role: 'user', content: text }] },
  }),
  'openai chat': (text: string, stream = true): Ask => ({
    path: '/openai/v1/chat/completions',
    headers: { authorization: 'Bearer placeholder' },
    body: { model: 'gpt-x', stream, stream_options: { include_usage: true }, messages: [{ role: 'user', content: text }] },
  }),
  'openai responses': (text: string, stream = true): Ask => ({
    path: '/openai/v1/responses',
    headers: { authorization: 'Bearer placeholder' },
    body: { model: 'gpt-x', stream, input: text },
  }),
  gemini: (text: string, stream = true): Ask => ({
    path: `/google/v1beta/models/gemini-x:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    headers: { 'x-goog-api-key': 'placeholder' },
    body: { contents: [{ role: 'user', parts: [{ text }] }] },
  }),
} as const;

export type WireName = keyof typeof WIRE_REQUESTS;
export const WIRE_NAMES: readonly WireName[] = ['anthropic', 'openai chat', 'openai responses', 'gemini'];

/** Bytes as they are over the socket: for CONNECT, and for requests no library would send. */
export function rawConnection(socketPath: string): { readonly socket: Socket; readonly received: () => string } {
  const socket = connect(socketPath);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  return { socket, received: () => received };
}

/** A provider made for one test, on a port of its own. */
export async function withUpstream(listener: RequestListener, run: (config: ProviderConfig) => Promise<void>): Promise<void> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // As: a server that listens on TCP has an address of this form.
  const { port } = server.address() as AddressInfo;
  try {
    await run({ baseUrl: `http://127.0.0.1:${port}`, auth: { header: 'x-api-key', value: KEY } });
  } finally {
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }
}

export async function waitFor(what: string, condition: () => boolean, timeoutMs = 5_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `not in time: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
