import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import type { CredentialCreate } from '@cloister/api';
import { ask, KEY, openBench, WIRE_REQUESTS } from '../../test/support/egress-bench.ts';
import { testSealer } from '../../test/support/sealer.ts';
import { systemClock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Provider } from '../core/model.ts';
import type { ProviderConfig } from '../core/provider-config.ts';
import { deniedBut } from '../egress/addresses.ts';
import type { CredentialAsker, FoundProvider, ProviderSource } from '../egress/gateway.ts';
import { createKeyCheck } from '../egress/key-check.ts';
import { createCheckedAgents } from '../egress/upstream-agents.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { createKeyTest } from './key-test.ts';
import { createCredentialResolver } from './resolver.ts';
import { createVaults } from './vaults.ts';

const ASKER: CredentialAsker = { tenantId: 'default', sessionId: 'ses_1', agentId: 'agt_1' };
const MANAGED: ProviderConfig = { baseUrl: 'https://managed.example', auth: { header: 'x-api-key', value: 'the-operators-own-key' } };

async function setUp(managed: ReadonlyMap<Provider, ProviderConfig> = new Map([['anthropic', MANAGED]])) {
  const store = await openSqliteStore({ file: ':memory:', clock: systemClock });
  const sealer = testSealer();
  const resolver = createCredentialResolver({
    store,
    sealer,
    managed,
    httpFallback: { find: async () => ({ header: 'authorization', value: 'from the file', secrets: [] }) },
    now: systemClock.now,
  });
  const resolve = async () => ['127.0.0.1'];
  const dialer = { clock: systemClock, resolve, isDenied: deniedBut(['127.0.0.0/8']) };
  const openAgents = (timeoutMs: number) => createCheckedAgents({ ...dialer, timeoutMs });
  const check = createKeyCheck({ clock: systemClock, openAgents });
  const validateToken = () => assert.fail('no token is tried');
  const vaults = createVaults({ store, sealer, clock: systemClock, testKey: createKeyTest({ sealer, check }), validateToken });
  const session = {
    id: 'ses_1',
    tenantId: 'default',
    agentId: 'agt_1',
    agentVersion: 1,
    agent: {},
    environmentId: 'env_1',
    environment: {},
  };
  return {
    store,
    resolver,
    vaults,
    /** A vault with one provider key in it; returns both ids. */
    async keyIn(vault: object, api_key: string): Promise<{ readonly vault: string; readonly credential: string }> {
      const made = await vaults.create('default', { display_name: 'v', ...vault });
      const credential = await vaults.credentials.create('default', made.id, {
        auth: { type: 'provider_key', provider: 'anthropic', api_key },
      });
      return { vault: made.id, credential: credential.id };
    },
    createSession: (vaultIds: readonly string[]) =>
      store.sessions.create({ ...session, title: null, metadata: {}, vaultIds, now: Date.now() }),
    [Symbol.asyncDispose]: () => store.close(),
  };
}

const told = (found: FoundProvider | undefined) => [found?.owner, found?.config.auth?.value];

describe('whose key holds', () => {
  test("the session's, then the agent's, then the tenant's, then the operator's, and each change at once", async () => {
    await using bench = await setUp();
    const find = async () => told(await bench.resolver.find({ ...ASKER, provider: 'anthropic' }));
    assert.deepEqual(await find(), ['managed', 'the-operators-own-key']);
    const tenant = await bench.keyIn({ default: true }, 'the-key-of-the-tenant');
    assert.deepEqual(await find(), ['tenant', 'the-key-of-the-tenant']);
    await bench.store.agents.create({ id: 'agt_1', tenantId: 'default', definition: {}, now: 1 });
    const agent = await bench.keyIn({ agent_ids: ['agt_1'] }, 'the-key-of-the-agent');
    assert.deepEqual(await find(), ['agent', 'the-key-of-the-agent']);
    const session = await bench.keyIn({}, 'the-key-of-the-session');
    await bench.createSession([session.vault]);
    assert.deepEqual(await find(), ['session', 'the-key-of-the-session']);

    const { credentials } = bench.vaults;
    await credentials.update('default', session.vault, session.credential, {
      auth: { type: 'provider_key', api_key: 'a-newer-key-of-it' },
    });
    assert.deepEqual(await find(), ['session', 'a-newer-key-of-it']);
    await credentials.archive('default', session.vault, session.credential);
    assert.deepEqual(await find(), ['agent', 'the-key-of-the-agent']);
    await bench.vaults.update('default', agent.vault, { agent_ids: [] });
    assert.deepEqual(await find(), ['tenant', 'the-key-of-the-tenant']);
    for (const { vault } of [tenant, agent]) await bench.vaults.archive('default', vault);
    assert.deepEqual(await find(), ['managed', 'the-operators-own-key']);
    await bench.store.vaults.setManagedKeys({ tenantId: 'default', isAllowed: false, now: 1 });
    await assert.rejects(find(), (error) => isPlatformError(error, 'managed_keys_refused'));
    assert.deepEqual([...(await bench.resolver.providersOf('default'))], ['demo']);
  });

  test('a secret opens in its own row only', async () => {
    await using bench = await setUp();
    const [one, two] = [await bench.keyIn({ default: true }, 'the-first-of-two-keys'), await bench.keyIn({}, 'the-second-of-two-keys')];
    const row = (id: string) =>
      bench.store.vaults.findCredential({
        tenantId: 'default',
        ...(id === one.credential ? { vaultId: one.vault } : { vaultId: two.vault }),
        id,
      });
    const [first, second] = [await row(one.credential), await row(two.credential)];
    const swap = {
      table: 'vault_credentials',
      tenantId: 'default',
      id: one.credential,
      from: first?.sealed ?? '',
      to: second?.sealed ?? '',
    } as const;
    assert.equal(await bench.store.sealed.replace(swap), true);
    await assert.rejects(bench.resolver.find({ ...ASKER, provider: 'anthropic' }), (error) => isPlatformError(error, 'secret_unreadable'));
  });

  test('a secret for hosts goes to those alone, and before what the file has', async () => {
    await using bench = await setUp();
    const { id } = await bench.vaults.create('default', { display_name: 'v', default: true });
    const auth = {
      type: 'http',
      name: 'token',
      hosts: ['api.example'],
      secret: 'a-secret-for-hosts',
      username: 'git',
    } satisfies CredentialCreate['auth'];
    await bench.vaults.credentials.create('default', id, { auth });
    const find = (host: string) => bench.resolver.http.find({ ...ASKER, name: 'token', covers: (hosts) => hosts.includes(host) });
    assert.equal((await find('api.example'))?.value, `Basic ${Buffer.from('git:a-secret-for-hosts').toString('base64')}`);
    assert.equal((await find('other.example'))?.value, 'from the file');
  });

  test('a token for an MCP server is found by its URL until it runs out', async () => {
    await using bench = await setUp();
    const { id } = await bench.vaults.create('default', { display_name: 'v', default: true });
    const auth = { type: 'static_bearer', mcp_server_url: 'https://mcp.example/tools/', token: 'a-token-for-tools' } as const;
    await bench.vaults.credentials.create('default', id, { auth });
    const expires_at = new Date(Date.now() + 50).toISOString();
    const short = {
      type: 'mcp_oauth',
      mcp_server_url: 'https://short.example/',
      access_token: 'a-token-for-a-moment',
      expires_at,
    } as const;
    await bench.vaults.credentials.create('default', id, { auth: short });
    const find = async (url: string) => (await bench.resolver.mcp({ ...ASKER, url }))?.token;
    assert.equal(await find('https://MCP.example/tools'), 'a-token-for-tools');
    assert.equal(await find('https://mcp.example/'), undefined);
    while (Date.now() <= Date.parse(expires_at)) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await find('https://short.example'), undefined);
  });
});

describe('the gateway', () => {
  const source = (found: FoundProvider | Error): ProviderSource => ({
    async find() {
      if (found instanceof Error) throw found;
      return found;
    },
  });
  const isDenied = /private, local or reserved/;

  test("calls a tenant's place with the tenant's key, and never at an address that it may not reach", async () => {
    await using model = await openBench();
    const config = { baseUrl: model.model.url, auth: { header: 'x-api-key', value: KEY } };
    const keys = source({ config, owner: 'session' });
    const request = WIRE_REQUESTS.anthropic('hello', false);
    await using closed = await openBench({ keys, providers: new Map() });
    const refused = await ask(closed.socketPath, request);
    assert.match(`${refused.status} ${await refused.text()}`, isDenied);
    assert.equal(model.model.requests().length, 0);
    await using opened = await openBench({ keys, providers: new Map(), allowPrivate: ['127.0.0.0/8'] });
    for (let times = 0; times < 2; times++) {
      const reply = await ask(opened.socketPath, request);
      assert.equal(reply.status, 200, await reply.text());
    }
    assert.equal(model.model.requests().length, 2);
  });
});

describe('a key is tried', () => {
  const cases = [
    ['ok', 200, { data: [{ id: 'claude-x' }] }],
    ['invalid', 401, { error: { message: 'invalid x-api-key' } }],
    ['quota', 429, { error: { message: 'You exceeded your current quota' } }],
    ['quota', 400, { error: { message: 'Your credit balance is too low' } }],
    ['failed', 500, { error: { message: 'oops' } }],
  ] as const;
  for (const [expected, status, body] of cases)
    test(`and a provider that answers ${status} makes it ${expected}`, async () => {
      const server = createServer((request, response) => {
        const said = request.headers['x-api-key'];
        response
          .writeHead(status, { 'content-type': 'application/json' })
          .end(JSON.stringify(body).replace('x-api-key', `x-api-key ${String(said)}`));
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      await using bench = await setUp();
      try {
        const { id } = await bench.vaults.create('default', { display_name: 'v' });
        // As: a server that listens on TCP has an address of this form.
        const base_url = `http://provider.example:${(server.address() as AddressInfo).port}`;
        const auth = { type: 'provider_key', provider: 'anthropic', api_key: 'a-key-that-is-tried', base_url } as const;
        const credential = await bench.vaults.credentials.create('default', id, { auth });
        const verdict = await bench.vaults.credentials.test('default', id, credential.id);
        assert.deepEqual([verdict.result, verdict.status], [expected, status]);
        assert.ok(!verdict.message.includes('a-key-that-is-tried'), verdict.message);
        assert.deepEqual(verdict.models, expected === 'ok' ? ['claude-x'] : []);
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });

  test('and one whose provider is nowhere is unreachable', async () => {
    await using bench = await setUp();
    const { id } = await bench.vaults.create('default', { display_name: 'v' });
    const auth = { type: 'provider_key', provider: 'openai', api_key: 'a-key-that-is-tried', base_url: 'http://10.0.0.1:1/v1' } as const;
    const credential = await bench.vaults.credentials.create('default', id, { auth });
    assert.equal((await bench.vaults.credentials.test('default', id, credential.id)).result, 'unreachable');
  });
});
