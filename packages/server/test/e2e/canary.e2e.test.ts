import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { containersOf, docker, engineMissing } from '../support/engine.ts';
import type { Wire } from '../support/server.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';
import { contentOf, createCanaries, filesBelow } from './canaries.ts';

const TURN_MS = 90_000;
/** Where secrets belong: keys and the operator's own files. */
const OWN_PLACES = /^(keys\/|admin\.key$)/;

/** A provider, and a receiver of webhooks, that says back everything it was told, in every form it can think of. */
async function startEcho(): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createServer((request, response) => {
    request.resume();
    const told = Object.values(request.headers).join(' ');
    const key = String(request.headers.authorization ?? request.headers['x-api-key'] ?? '').replace(/^Bearer /, '');
    const forms = [key, Buffer.from(key).toString('base64'), Buffer.from(key).toString('hex'), encodeURIComponent(key)];
    response.writeHead(request.url?.startsWith('/hook') === true ? 500 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { type: 'authentication_error', message: `Wrong key ${forms.join(' or ')} in ${told}` } }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe('canaries: secrets are where they belong and nowhere else', { timeout: 400_000 }, () => {
  const canaries = createCanaries();
  const { plant } = canaries;
  const admin = plant('admin key', 'clst_').replaceAll(/[^A-Za-z0-9_]/g, '');
  let skip: string | false = false;
  let server: ServerProcess;
  let model: FakeModel;
  let echo: Awaited<ReturnType<typeof startEcho>>;
  let outside: string;
  const answers: string[] = [];

  before(async () => {
    skip = await engineMissing();
    if (skip !== false) return;
    canaries.add('admin key', admin);
    const tenantKey = plant("the tenant's anthropic key", 'sk-ant-');
    model = await startFakeModel({ requireKey: tenantKey });
    echo = await startEcho();
    outside = await mkdtemp(path.join(os.tmpdir(), 'cloister-canary-'));
    const credentials = path.join(outside, 'credentials.json');
    const entry = (name: string, more: object) => ({ name, hosts: ['api.example'], secret: plant(`file: ${name}`), ...more });
    await writeFile(credentials, JSON.stringify({ credentials: [entry('token', {}), entry('basic', { username: 'git' })] }), {
      mode: 0o600,
    });
    const kek = randomBytes(32);
    canaries.add('key-encryption key', kek.toString('base64'));
    canaries.add('key-encryption key, raw', kek.toString('latin1'));
    server = await startServerProcess({
      env: {
        CLOISTER_ADMIN_KEY: admin,
        CLOISTER_HARNESS: 'builtin',
        CLOISTER_MODEL: 'claude-sonnet-4-5',
        CLOISTER_STORE: 'sqlite',
        DATABASE_URL: `postgres://cloister:${encodeURIComponent(plant('database password'))}@127.0.0.1:1/cloister`,
        CLOISTER_KEK: kek.toString('base64'),
        ANTHROPIC_API_KEY: plant("the operator's anthropic key", 'sk-ant-'),
        GEMINI_API_KEY: plant("the operator's google key", 'AIza'),
        DEEPSEEK_API_KEY: plant("the operator's deepseek key", 'sk-'),
        XAI_API_KEY: plant("the operator's xai key", 'xai-'),
        OIDC_CLIENT_SECRET: plant('OIDC client secret'),
        EGRESS_CREDENTIALS_FILE: credentials,
        EGRESS_ALLOW_PRIVATE: '127.0.0.0/8',
        WEBHOOK_ALLOW_PRIVATE_NETWORK: 'true',
        SANDBOX_PAUSE_SECONDS: '0',
        LOG_LEVEL: 'trace',
        LOG_FILE: path.join(outside, 'server.log'),
        RETRY_BASE_SECONDS: '0',
        MAX_TURN_ATTEMPTS: '2',
      },
      readyMs: 300_000,
    });
    await scenario(tenantKey);
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await model?.close();
    echo?.server.close();
    if (outside !== undefined) await rm(outside, { recursive: true, force: true });
  });

  async function ask(method: string, route: string, body?: unknown, key = admin): Promise<Wire> {
    const response = await fetch(`${server.url}${route}`, {
      method,
      headers: { 'x-api-key': key, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    // What is shown once is looked at by itself.
    if (!(method === 'POST' && /webhooks|api_keys|invitations/.test(route))) answers.push(`${method} ${route} ${text}`);
    return text.startsWith('{') ? JSON.parse(text) : text;
  }

  async function turnOf(agentModel: string, vault: string, said: string): Promise<Wire> {
    const agent = await ask('POST', '/v1/agents', { name: agentModel, model: agentModel });
    const environment = await ask('POST', '/v1/environments', { name: 'canary' });
    const session = await ask('POST', '/v1/sessions', { agent: agent.id, environment_id: environment.id, vault_ids: [vault] });
    const events = { events: [{ type: 'user.message', content: [{ type: 'text', text: said }] }] };
    await ask('POST', `/v1/sessions/${session.id}/events`, events);
    return waitFor(
      async () => {
        const { data } = await ask('GET', `/v1/sessions/${session.id}/events?limit=100`);
        return data.find(({ type }: Wire) => type === 'turn.ended');
      },
      { timeoutMs: TURN_MS, what: 'the end of the turn' },
    );
  }

  /** Everything that a person can do with a secret, right and wrong. */
  async function scenario(tenantKey: string): Promise<void> {
    const vault = (await ask('POST', '/v1/vaults', { display_name: 'canary' })).id;
    const add = async (auth: object) => ask('POST', `/v1/vaults/${vault}/credentials`, { auth });
    const route = (id: string) => `/v1/vaults/${vault}/credentials/${id}`;
    const key = (provider: string, api_key: string, base_url?: string) => add({ type: 'provider_key', provider, api_key, base_url });
    const good = await key('anthropic', tenantKey, model.url);
    const bad = await key('openai', plant("the tenant's openai key", 'sk-'), `${echo.url}/v1`);
    const replaced = await key('google', plant('a google key that was replaced'));
    await ask('POST', route(replaced.id), { auth: { type: 'provider_key', api_key: plant("the tenant's google key") } });
    await key('deepseek', plant("the tenant's deepseek key"));
    await key('xai', plant("the tenant's xai key"));
    await key('openai-compatible', plant("the tenant's key for a server of its own"), 'http://127.0.0.1:1/v1');
    for (const name of ['one', 'two']) await add({ type: 'http', name, hosts: ['api.example'], secret: plant(`http ${name}`) });
    await add({ type: 'http', name: 'basic', hosts: ['api.example'], secret: plant('http basic'), username: 'git' });
    for (const n of [1, 2]) await add({ type: 'static_bearer', mcp_server_url: `https://mcp${n}.example/`, token: plant(`mcp ${n}`) });
    await add({ type: 'mcp_oauth', mcp_server_url: 'https://mcp3.example/', access_token: plant('mcp oauth') });
    const archived = await add({ type: 'http', name: 'archived', hosts: ['a.example'], secret: plant('an archived one') });
    await ask('POST', `${route(archived.id)}/archive`);
    const deleted = await add({ type: 'http', name: 'deleted', hosts: ['a.example'], secret: plant('a deleted one') });
    await ask('DELETE', route(deleted.id));
    const misplaced = plant('a secret in a wrong field');
    await add({ type: 'provider_key', provider: 'anthropic', api_key: tenantKey, [misplaced.slice(0, 30)]: misplaced });
    await ask('GET', '/v1/status', undefined, plant('a key that is none'));

    const hook = await ask('POST', '/v1/webhooks', { url: `${echo.url}/hook`, events: '*' });
    canaries.add('webhook secret', hook.secret);
    canaries.add('webhook secret after a rotation', (await ask('POST', `/v1/webhooks/${hook.id}/rotate_secret`)).secret);
    const made = await fetch(`${server.url}/v1/webhooks`, {
      method: 'POST',
      headers: { 'x-api-key': admin, 'content-type': 'application/json', 'idempotency-key': 'canary' },
      body: JSON.stringify({ url: `${echo.url}/hook`, events: '*' }),
    });
    canaries.add('webhook secret of a request with a key', ((await made.json()) as Wire).secret);
    const apiKey = await ask('POST', '/v1/api_keys', { name: 'canary', role: 'viewer' });
    if (typeof apiKey.key === 'string') canaries.add('API key', apiKey.key);

    assert.equal((await ask('POST', `${route(good.id)}/test`)).result, 'ok');
    assert.equal((await ask('POST', `${route(bad.id)}/test`)).result, 'invalid');
    assert.equal(
      (await turnOf('claude-sonnet-4-5', vault, '[[tool bash {"command":"env; cat /proc/*/environ; ls -laR /run"}]]')).outcome,
      'completed',
    );
    const failed = await turnOf('openai/gpt-5', vault, 'hello');
    assert.deepEqual([failed.outcome, failed.error.code], ['failed', 'model_authentication_failed']);
    await waitFor(async () => (await ask('GET', `/v1/webhooks/${hook.id}/deliveries`)).data.some(({ attempts }: Wire) => attempts > 0), {
      timeoutMs: 30_000,
      what: 'a delivery that failed',
    });
    await ask('POST', '/v1/encryption_keys/rotate');
    for (const shown of [
      '/v1/vaults',
      `/v1/vaults/${vault}/credentials?limit=100`,
      '/v1/webhooks',
      '/v1/sessions',
      '/v1/turns',
      '/v1/audit',
      '/metrics',
    ])
      await ask('GET', shown);
    for (const shown of ['/v1/encryption_keys', '/v1/providers', '/v1/api_keys', '/v1/status', '/openapi.json', '/health'])
      await ask('GET', shown);
  }

  const test = (name: string, run: () => Promise<void>): void => {
    void it(name, async (t) => {
      if (skip !== false) return t.skip(skip);
      await run();
    });
  };
  const requireNone = async (what: string, source: string | AsyncIterable<Uint8Array | string>) =>
    assert.deepEqual(await canaries.hitsIn(source), [], what);

  test('a search that would find one finds one', async () => {
    assert.ok(canaries.count() >= 30, `${canaries.count()} canaries`);
    for (const form of [admin, Buffer.from(`x:${admin}`).toString('base64'), Buffer.from(admin).toString('hex')])
      assert.notDeepEqual(await canaries.hitsIn(`before ${form} after`), []);
    assert.ok(model.requests().length > 0, 'the model was asked with the key of the vault');
  });
  test('not in what the API answered, events and metrics among it', async () => {
    assert.ok(
      answers.some((answer) => answer.includes('Wrong key [redacted]')),
      'an event tells of the provider that says the key back',
    );
    for (const answer of answers) await requireNone(answer.slice(0, 200), answer);
  });
  test('not in the logs, at their most talkative', async () => {
    assert.match(server.output(), /Wrong key \[redacted\]/, 'the provider that says the key back was heard');
    await requireNone('what the server wrote', server.output());
    await requireNone('its log file', contentOf(path.join(outside, 'server.log')));
  });
  test('not in containers: how they were made, and their files', async () => {
    const { data } = await ask('GET', '/v1/sessions');
    const ids = (await Promise.all(data.map(({ id }: Wire) => containersOf(`cloister.session=${id}`)))).flat();
    assert.ok(ids.length > 0, 'sandboxes to look into');
    const print = (...args: string[]) => spawn('docker', args, { stdio: ['ignore', 'pipe', 'ignore'] }).stdout;
    for (const id of ids) {
      await requireNone('docker inspect', await docker('inspect', id));
      const places = ['tmp', 'run', 'home', 'workspace', 'var/tmp', 'mnt'];
      await requireNone('what a sandbox can write to', print('exec', id, 'tar', '-c', '--ignore-failed-read', '-C', '/', ...places));
    }
    await requireNone('all files of a container', print('export', ids[0] ?? ''));
  });
  test('not in the database, its log, a copy of both, or any other file', async () => {
    const live = path.join(outside, 'copy');
    for (const suffix of ['', '-wal']) await copyFile(path.join(server.dataDir, `cloister.db${suffix}`), `${live}${suffix}`);
    for (const suffix of ['', '-wal']) await requireNone(`a copy of cloister.db${suffix}`, contentOf(`${live}${suffix}`));
    await server.kill('SIGTERM');
    for await (const file of filesBelow(server.dataDir, (relative) => OWN_PLACES.test(relative))) await requireNone(file, contentOf(file));
  });
});
