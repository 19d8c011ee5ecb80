import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CredentialCreate } from '@cloister/api';
import { startHttpMcp } from '../../../agent-runner/src/testing/mcp-server.ts';
import { ask, openBench } from '../../test/support/egress-bench.ts';
import { startOauthServer } from '../../test/support/oauth-server.ts';
import { testSealer } from '../../test/support/sealer.ts';
import { systemClock, toTimestamp } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { AuditEntry } from '../core/audit.ts';
import { deniedBut } from '../egress/addresses.ts';
import type { McpRefusal } from '../egress/gateway.ts';
import { createSendForm } from '../egress/send-form.ts';
import { createCheckedAgents } from '../egress/upstream-agents.ts';
import { createRefreshGrant } from '../oidc/refresh-grant.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { createMcpCredentials } from './mcp-credentials.ts';
import { createOauthValidation } from './oauth-validation.ts';
import { createCredentialResolver } from './resolver.ts';
import { createTokenRefresh } from './token-refresh.ts';
import { createVaults } from './vaults.ts';

const MCP = 'https://tools.example/mcp';
const ASKER = { tenantId: 'default', sessionId: null, agentId: null, url: MCP };
const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
};
const MINUTE_MS = 60_000;
const SECRET = 'the-secret-of-the-client';

type Refresh = NonNullable<Extract<CredentialCreate['auth'], { type: 'mcp_oauth' }>['refresh']>;

async function setUp({ allow = ['127.0.0.0/8'] }: { readonly allow?: readonly string[] } = {}) {
  const stack = new AsyncDisposableStack();
  const oauth = stack.use(await startOauthServer());
  let ahead = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + ahead };
  const store = await openSqliteStore({ file: ':memory:', clock });
  stack.defer(() => store.close());
  const sealer = testSealer();
  const told: AuditEntry[] = [];
  const dialer = { clock, resolve: async () => ['127.0.0.1'], isDenied: deniedBut(allow) };
  const send = createSendForm((timeoutMs) => createCheckedAgents({ ...dialer, timeoutMs }));
  const grant = createRefreshGrant(send);
  /** Each has what a server has of its own; the database is shared. */
  const server = () => {
    const accessToken = createTokenRefresh({ store, sealer, clock, grant, tell: (entry) => void told.push(entry) });
    return createCredentialResolver({
      store,
      sealer,
      managed: new Map(),
      httpFallback: { find: async () => undefined },
      now: clock.now,
      accessToken,
    });
  };
  const accessToken = createTokenRefresh({ store, sealer, clock, grant, tell: (entry) => void told.push(entry) });
  const validateToken = createOauthValidation({ store, sealer, clock, accessToken, send });
  const vaults = createVaults({ store, sealer, clock, testKey: () => assert.fail('no key is tested'), validateToken });
  const vault = await vaults.create('default', { display_name: 'v', default: true });
  const add = (more: { url?: string; expiresInMs?: number; refresh?: Partial<Refresh> } = {}) =>
    vaults.credentials.create('default', vault.id, {
      auth: {
        type: 'mcp_oauth',
        mcp_server_url: more.url ?? MCP,
        access_token: oauth.accessToken(),
        expires_at: toTimestamp(clock.now() + (more.expiresInMs ?? 30 * MINUTE_MS)),
        refresh: {
          client_id: 'cloister',
          refresh_token: oauth.refreshToken(),
          token_endpoint: oauth.url,
          token_endpoint_auth: { type: 'none' },
          ...more.refresh,
        },
      },
    });
  return {
    oauth,
    vaults,
    vault,
    store,
    told,
    add,
    server,
    wait: (ms: number) => {
      ahead += ms;
    },
    auth: async (id: string) => {
      const { auth } = await vaults.credentials.get('default', vault.id, id);
      return auth.type === 'mcp_oauth' ? auth : assert.fail(auth.type);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const notRefreshed = (error: unknown) => isPlatformError(error, 'mcp_token_not_refreshed');

describe('the access token for an MCP server', () => {
  test('is refreshed before it runs out, with the new refresh token the next time, and never shown', async () => {
    await using bench = await setUp();
    const { id } = await bench.add({ refresh: { scope: 'read write', resource: MCP } });
    const server = bench.server();
    assert.equal((await server.mcp(ASKER))?.token, 'the-first-access-token');
    assert.equal(bench.oauth.requests.length, 0);
    for (const number of [1, 2]) {
      bench.wait(59.5 * MINUTE_MS);
      assert.equal((await server.mcp(ASKER))?.token, `access-token-number-${number}`);
    }
    assert.deepEqual(bench.oauth.requests[1]?.form, {
      grant_type: 'refresh_token',
      client_id: 'cloister',
      refresh_token: 'refresh-token-number-1',
      scope: 'read write',
      resource: MCP,
    });
    const auth = await bench.auth(id);
    assert.deepEqual(auth.last_refresh?.status, 'succeeded');
    assert.deepEqual(auth.refresh?.token_endpoint, bench.oauth.url);
    const row = await bench.store.vaults.findCredential({ tenantId: 'default', vaultId: bench.vault.id, id });
    assert.doesNotMatch(JSON.stringify([auth, row, bench.told]), /(access|refresh)-token-number/);
    const [entry] = bench.told;
    assert.deepEqual([entry?.action, entry?.subject, entry?.detail?.what], ['credential.changed', id, 'refreshed']);
  });

  test('is refreshed once for all calls, on all servers', async () => {
    await using bench = await setUp();
    await bench.add({ expiresInMs: 1000 });
    const gate = Promise.withResolvers<void>();
    bench.oauth.gate = gate.promise;
    const calls = [bench.server(), bench.server(), bench.server()].flatMap((one) => [one.mcp(ASKER), one.mcp(ASKER)]);
    gate.resolve();
    const tokens = (await Promise.all(calls)).map((found) => found?.token);
    assert.deepEqual([...new Set(tokens)], ['access-token-number-1']);
    assert.equal(bench.oauth.requests.length, 1);
  });

  test('is refreshed when the server has refused it, and not again for the same refusal', async () => {
    await using bench = await setUp();
    await bench.add();
    const [one, two] = [bench.server(), bench.server()];
    const [first, second] = [await one.mcp(ASKER), await two.mcp(ASKER)];
    assert.equal(await first?.renew?.(), 'access-token-number-1');
    assert.equal(await second?.renew?.(), 'access-token-number-1');
    assert.equal(bench.oauth.requests.length, 1);
    const again = await one.mcp(ASKER);
    await assert.rejects(again?.renew?.() ?? assert.fail('it can be renewed'), /refuses the one that was given a moment ago/);
  });

  test('goes to the endpoint with the secret of the client as that wants it', async () => {
    for (const type of ['client_secret_basic', 'client_secret_post'] as const) {
      await using bench = await setUp();
      await bench.add({ expiresInMs: 1000, refresh: { token_endpoint_auth: { type, client_secret: SECRET } } });
      assert.equal((await bench.server().mcp(ASKER))?.token, 'access-token-number-1');
      const [request] = bench.oauth.requests;
      const basic = `Basic ${Buffer.from(`cloister:${SECRET.replaceAll('-', '%2D')}`).toString('base64')}`;
      assert.deepEqual(
        [request?.authorization, request?.form.client_secret],
        type === 'client_secret_basic' ? [basic, undefined] : [undefined, SECRET],
      );
    }
  });

  for (const [temper, status, message] of [
    ['refuses', 'failed', /answered 400 with invalid_grant/],
    ['redirects', 'failed', /answered 307/],
    ['talks', 'failed', /answered 200, and with no token/],
    ['fails', 'failed', /answered 503/],
  ] as const)
    test(`of an endpoint that ${temper} stays as it is, with the reason, and new tokens mend it`, async () => {
      await using bench = await setUp();
      const { id } = await bench.add({ expiresInMs: MINUTE_MS / 2 });
      bench.oauth.temper = temper;
      const server = bench.server();
      assert.equal((await server.mcp(ASKER))?.token, 'the-first-access-token', 'it may still do');
      bench.wait(MINUTE_MS);
      await assert.rejects(server.mcp(ASKER), notRefreshed);
      await assert.rejects(server.mcp(ASKER), message);
      const { last_refresh: last } = await bench.auth(id);
      assert.equal(last?.status, status);
      assert.match(last?.message ?? '', message);
      assert.ok(bench.oauth.requests.length <= 2, 'it is left alone for a while');
      bench.oauth.temper = 'gives';
      const refresh = { refresh_token: bench.oauth.refreshToken() };
      await bench.vaults.credentials.update('default', bench.vault.id, id, { auth: { type: 'mcp_oauth', refresh } });
      assert.equal((await bench.auth(id)).last_refresh, null);
      assert.equal((await server.mcp(ASKER))?.token, 'access-token-number-1');
    });

  test('is not asked for at a private address', async () => {
    await using bench = await setUp({ allow: [] });
    const { id } = await bench.add({ expiresInMs: 1000 });
    bench.wait(2000);
    await assert.rejects(bench.server().mcp(ASKER), notRefreshed);
    assert.equal((await bench.auth(id)).last_refresh?.status, 'connect_error');
    assert.equal(bench.oauth.requests.length, 0);
  });

  test('that somebody gave while it was refreshed stays, and the new refresh token with it', async () => {
    await using bench = await setUp();
    const { id } = await bench.add({ expiresInMs: 1000 });
    const gate = Promise.withResolvers<void>();
    bench.oauth.gate = gate.promise;
    const server = bench.server();
    const call = server.mcp(ASKER);
    while (bench.oauth.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await bench.vaults.credentials.update('default', bench.vault.id, id, {
      auth: { type: 'mcp_oauth', refresh: { refresh_token: 'a-refresh-token-of-theirs' } },
    });
    gate.resolve();
    assert.equal((await call)?.token, 'access-token-number-1');
    bench.wait(MINUTE_MS);
    await assert.rejects(server.mcp(ASKER), notRefreshed);
    assert.equal(bench.oauth.requests[1]?.form.refresh_token, 'a-refresh-token-of-theirs');
  });
});

describe('a call to an MCP server through the gateway', () => {
  async function open() {
    const stack = new AsyncDisposableStack();
    const given = stack.use(await setUp());
    const mcp = stack.use(await startHttpMcp({ authorization: () => `Bearer ${given.oauth.accessToken()}` }));
    const url = `http://tools.example:${mcp.port}/mcp`;
    await given.add({ url });
    const refusals: McpRefusal[] = [];
    const bench = stack.use(
      await openBench({
        onMcpRefusal: (refusal) => void refusals.push(refusal),
        mcpServers: [{ name: 'tools', url }],
        mcpCredentials: createMcpCredentials(given.server()),
        network: { allowedHosts: [], allowsMcpServers: true },
        resolve: async () => ['127.0.0.1'],
        allowPrivate: ['127.0.0.0/8'],
      }),
    );
    const headers = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };
    const call = () => ask(bench.socketPath, { path: '/mcp/tools', headers, body: INITIALIZE });
    return { ...given, mcp, refusals, call, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  }

  test('is made once more with another token when the server refuses the one there is', async () => {
    await using bench = await open();
    assert.equal((await bench.call()).status, 200);
    bench.oauth.revoke();
    const reply = await bench.call();
    const text = await reply.text();
    assert.equal(reply.status, 200, text);
    assert.match(text, /"serverInfo"/);
    assert.deepEqual(
      bench.mcp.seen.map(({ authorization }) => authorization),
      ['the-first-access-token', 'the-first-access-token', 'access-token-number-1'].map((token) => `Bearer ${token}`),
    );
    assert.equal(bench.oauth.requests.length, 1);
  });

  test('fails by its name where there is no other', async () => {
    await using bench = await open();
    bench.oauth.revoke();
    bench.oauth.temper = 'refuses';
    const reply = await bench.call();
    const text = await reply.text();
    assert.equal(reply.status, 502, text);
    assert.match(text, /invalid_grant.*mcp_token_not_refreshed/s);
    assert.equal(bench.mcp.seen.length, 1);
    assert.deepEqual([bench.refusals.length, bench.refusals[0]?.server], [1, 'tools']);
    assert.match(bench.refusals[0]?.message ?? '', /invalid_grant/);
  });
});

test('a token is tried at its server, and refreshed where that refuses it', async () => {
  await using bench = await setUp();
  await using mcp = await startHttpMcp({ authorization: () => `Bearer ${bench.oauth.accessToken()}` });
  const { id } = await bench.add({ url: `http://tools.example:${mcp.port}/mcp` });
  const validate = async () => {
    const { status, refresh, mcp_probe: probe } = await bench.vaults.credentials.validate('default', bench.vault.id, id);
    return [status, refresh?.status, probe?.http_response?.status_code];
  };
  assert.deepEqual(await validate(), ['valid', undefined, undefined]);
  bench.oauth.revoke();
  assert.deepEqual(await validate(), ['valid', 'succeeded', undefined]);
  bench.wait(MINUTE_MS);
  bench.oauth.revoke();
  bench.oauth.temper = 'refuses';
  assert.deepEqual(await validate(), ['invalid', 'failed', 401]);
  await mcp[Symbol.asyncDispose]();
  assert.deepEqual(await validate(), ['unknown', undefined, undefined]);
});
