import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import { systemClock } from '../../src/base/clock.ts';
import { newId } from '../../src/base/ids.ts';
import { loadConfig } from '../../src/config.ts';
import { hashApiKey } from '../../src/http/auth.ts';
import { startServer } from '../../src/main.ts';
import type { Overrides } from '../../src/open-engine.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';

const ADMIN_KEY = 'clst_test-key-of-the-first-tenant';
/** A key of another tenant, whose things the first may not even know of. */
export const OTHER_KEY = 'clst_test-key-of-another-tenant';

export interface TestServerOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Made and removed by the server when left out. */
  readonly dataDir?: string;
  readonly overrides?: Overrides;
}

/** A whole server in this process, on the fake runtime, with data of its own. */
export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly key: string;
  readonly dataDir: string;
  readonly client: Anthropic;
  /** Sends with the key; a body that is not a string goes as JSON. */
  request(method: string, path: string, init?: RequestInput): Promise<Response>;
  /** The same as JSON, whatever the status. */
  json(method: string, path: string, init?: RequestInput): Promise<Answer>;
  /** A session of the agent and environment made on the first start, or of another agent. */
  createSession(agent?: string): Promise<string>;
  stop(): Promise<void>;
  /** Stops, and starts again on the same data, at another port. */
  restart(): Promise<void>;
}

export interface RequestInput {
  readonly key?: string | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Wire fields are looked at one by one by the tests that name them. */
// biome-ignore lint/suspicious/noExplicitAny: what came over the wire is what is being tested
export type Wire = any;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Wire;
}

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const dataDir = options.dataDir ?? (await mkdtemp(path.join(os.tmpdir(), 'cloister-api-')));
  await addOtherTenant(dataDir);
  const start = () =>
    startServer(
      loadConfig({
        CLOISTER_RUNTIME: 'fake',
        CLOISTER_ADMIN_KEY: ADMIN_KEY,
        DATA_DIR: dataDir,
        PORT: '0',
        LOG_LEVEL: 'silent',
        DRAIN_SECONDS: '1',
        // Sandboxes that nobody asked for would be counted; the tests of the pool ask for them.
        WARM_POOL_MAX: '0',
        // The tests are no ordinary client; those of the limits set their own.
        RATE_LIMIT_PER_KEY: '0',
        RATE_LIMIT_PER_TENANT: '0',
        ...options.env,
      }),
      options.overrides,
    );
  let running = await start();
  let isStopped = false;
  const server: TestServer = {
    get url() {
      return running.url;
    },
    key: ADMIN_KEY,
    dataDir,
    get client() {
      return new Anthropic({ baseURL: running.url, apiKey: ADMIN_KEY, maxRetries: 0, timeout: 20_000 });
    },
    request: (method, route, init = {}) => send(running.url, method, route, init),
    async json(method, route, init = {}) {
      const response = await send(running.url, method, route, init);
      return { status: response.status, headers: response.headers, body: await response.json() };
    },
    async createSession(agent) {
      const environment = (await server.json('GET', '/v1/environments')).body.data[0].id;
      const chosen = agent ?? (await server.json('GET', '/v1/agents?order=asc')).body.data[0].id;
      const { body } = await server.json('POST', '/v1/sessions', { body: { agent: chosen, environment_id: environment } });
      return body.id;
    },
    async stop() {
      if (isStopped) return;
      isStopped = true;
      await running.stop();
    },
    async restart() {
      await server.stop();
      running = await start();
      isStopped = false;
    },
    async [Symbol.asyncDispose]() {
      await server.stop();
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
  return server;
}

/** Before the start: while it runs, the server owns the database. */
async function addOtherTenant(dataDir: string): Promise<void> {
  const store = await openSqliteStore({ file: path.join(dataDir, 'cloister.db'), clock: systemClock });
  try {
    await store.apiKeys.ensure({
      id: newId('apiKey'),
      tenantId: 'other',
      name: 'other',
      role: 'admin',
      hash: hashApiKey(OTHER_KEY),
      now: systemClock.now(),
    });
  } finally {
    await store.close();
  }
}

function send(url: string, method: string, route: string, init: RequestInput): Promise<Response> {
  const key = init.key === undefined ? ADMIN_KEY : init.key;
  const isText = init.body === undefined || typeof init.body === 'string';
  return fetch(`${url}${route}`, {
    method,
    headers: {
      ...(key === null ? {} : { 'x-api-key': key }),
      ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...init.headers,
    },
    ...(init.body === undefined ? {} : { body: isText ? String(init.body) : JSON.stringify(init.body) }),
    ...(init.signal === undefined ? {} : { signal: init.signal }),
  });
}

/** A message event with plain text, made unlike any other. */
export function message(text: string = randomUUID()): { type: 'user.message'; content: [{ type: 'text'; text: string }] } {
  return { type: 'user.message', content: [{ type: 'text', text }] };
}
