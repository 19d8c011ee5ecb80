import assert from 'node:assert/strict';
import { readFile, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';

const KEY = 'sk-ant-a-key-of-the-tenants-own-0123456789';

describe('vaults', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  const post = (route: string, body: unknown, key?: string) => server.json('POST', route, { body, ...(key === undefined ? {} : { key }) });
  const makeVault = async (body: object = {}): Promise<string> => (await post('/v1/vaults', { display_name: 'keys', ...body })).body.id;
  const provider = (more: object = {}) => ({ auth: { type: 'provider_key', provider: 'anthropic', api_key: KEY, ...more } });

  it('are what the official SDK makes, changes and deletes', async () => {
    const { vaults } = server.client.beta;
    const vault = await vaults.create({ display_name: 'mine', metadata: { a: 'b' } });
    assert.match(vault.id, /^vlt_/);
    assert.deepEqual(await vaults.retrieve(vault.id), vault);
    assert.equal((await vaults.update(vault.id, { display_name: 'yours', metadata: { a: null } })).display_name, 'yours');
    const auth = { type: 'static_bearer', token: 'a-token-of-some-length', mcp_server_url: 'https://mcp.example/x/' } as const;
    const credential = await vaults.credentials.create(vault.id, { auth, display_name: 'tool' });
    assert.deepEqual(credential.auth, { type: 'static_bearer', mcp_server_url: 'https://mcp.example/x/' });
    const update = { vault_id: vault.id, auth: { type: 'static_bearer', token: 'another-token-of-some-length' } } as const;
    assert.equal((await vaults.credentials.update(credential.id, update)).id, credential.id);
    const listed = await vaults.credentials.list(vault.id);
    assert.deepEqual(
      listed.data.map(({ id }) => id),
      [credential.id],
    );
    assert.ok((await vaults.credentials.archive(credential.id, { vault_id: vault.id })).archived_at);
    assert.equal((await vaults.credentials.delete(credential.id, { vault_id: vault.id })).type, 'vault_credential_deleted');
    assert.ok((await vaults.archive(vault.id)).archived_at);
    assert.equal((await vaults.delete(vault.id)).type, 'vault_deleted');
    assert.equal((await server.json('GET', `/v1/vaults/${vault.id}`)).body.error.code, 'vault_not_found');
  });

  it('keep tokens with how they are refreshed, as the official SDK has it', async () => {
    const { vaults } = server.client.beta;
    const { id: vault_id } = await vaults.create({ display_name: 'oauth' });
    const settings = { client_id: 'cloister', token_endpoint: 'https://auth.example/token', scope: 'read', resource: null };
    const refresh = {
      ...settings,
      refresh_token: 'a-refresh-token-of-theirs',
      token_endpoint_auth: { type: 'client_secret_basic', client_secret: 'a-secret-of-the-client' },
    } as const;
    const given = { type: 'mcp_oauth', mcp_server_url: 'https://mcp.example/o', access_token: 'an-access-token-of-theirs' } as const;
    const made = await vaults.credentials.create(vault_id, { auth: { ...given, expires_at: '2020-01-01T00:00:00Z', refresh } });
    const shown = { ...settings, token_endpoint_auth: { type: 'client_secret_basic' } };
    assert.deepEqual(made.auth.type === 'mcp_oauth' && made.auth.refresh, shown);
    const change = (auth: object) =>
      vaults.credentials.update(made.id, { vault_id, auth: { type: 'mcp_oauth', ...auth } } as Parameters<
        typeof vaults.credentials.update
      >[1]);
    const token_endpoint_auth = { type: 'client_secret_basic', client_secret: 'another-secret-of-it' };
    const changed = await change({ expires_at: null, refresh: { scope: 'read write', token_endpoint_auth } });
    assert.deepEqual(changed.auth.type === 'mcp_oauth' && [changed.auth.refresh?.scope, changed.auth.expires_at], ['read write', null]);
    assert.doesNotMatch(JSON.stringify([made, changed]), /of-theirs|secret-of/);
    await assert.rejects(change({ refresh: { refresh_token: 'short' } }), /secret_weak/);
    // A private address, which is not asked.
    const here = await vaults.credentials.create(vault_id, { auth: { ...given, mcp_server_url: 'http://127.0.0.1:9/mcp' } });
    const verdict = await vaults.credentials.mcpOAuthValidate(here.id, { vault_id });
    assert.deepEqual([verdict.status, verdict.has_refresh_token, verdict.mcp_probe?.method], ['unknown', false, 'initialize']);
  });

  it('never tell a secret again', async () => {
    const vault = await makeVault();
    const created = await post(`/v1/vaults/${vault}/credentials`, provider());
    assert.equal(created.status, 200, JSON.stringify(created.body));
    const route = `/v1/vaults/${vault}/credentials`;
    const answers = [created, await server.json('GET', `${route}/${created.body.id}`), await server.json('GET', route)];
    for (const { body } of answers) assert.ok(!JSON.stringify(body).includes(KEY));
    assert.deepEqual(created.body.auth, { type: 'provider_key', provider: 'anthropic', base_url: null });
    // The problem document of a request with a secret in a wrong place does not repeat it either.
    const wrong = await post(route, { auth: { type: 'provider_key', provider: 'anthropic', api_key: KEY, [KEY]: 1 } });
    assert.equal(wrong.status, 400);
    assert.ok(!JSON.stringify(wrong.body).includes(KEY), JSON.stringify(wrong.body));
  });

  for (const [what, secret] of [
    ['short', 'abc'],
    ['a default', 'changeme'],
    ['a placeholder', 'your-api-key-here'],
    ['one character', 'aaaaaaaaaaaaaaaa'],
  ] as const)
    it(`refuse a secret that is ${what}`, async () => {
      const { body } = await post(`/v1/vaults/${await makeVault()}/credentials`, provider({ api_key: secret }));
      assert.deepEqual([body.error.code, body.error.errors[0].pointer], ['secret_weak', '/auth/api_key']);
    });

  it('refuse what they could not keep to', async () => {
    const vault = await makeVault();
    const code = async (auth: object) => (await post(`/v1/vaults/${vault}/credentials`, { auth })).body.error?.code;
    assert.equal(
      await code({ type: 'environment_variable', secret_name: 'X', secret_value: KEY, networking: { type: 'unrestricted' } }),
      'capability_unsupported',
    );
    assert.equal(await code({ type: 'provider_key', provider: 'openai-compatible' }), 'request_invalid');
    assert.equal(await code({ type: 'provider_key', provider: 'openai', api_key: KEY, base_url: 'file:///etc/passwd' }), 'request_invalid');
    assert.equal(
      await code({ type: 'mcp_oauth', mcp_server_url: 'https://a.example', access_token: KEY, refresh: { x: 1 } }),
      'request_invalid',
    );
    assert.equal(
      await code({ type: 'mcp_oauth', mcp_server_url: 'https://a.example', access_token: KEY, expires_at: '2020-01-01T00:00:00Z' }),
      'request_invalid',
    );
    assert.equal(await code({ type: 'provider_key', provider: 'openai-compatible', base_url: 'https://llm.example/v1' }), undefined);
    assert.equal(
      await code({ type: 'provider_key', provider: 'openai-compatible', base_url: 'https://other.example/v1' }),
      'credential_exists',
    );
  });

  it('of another tenant are as missing ones', async () => {
    const vault = await makeVault();
    const { body: credential } = await post(`/v1/vaults/${vault}/credentials`, provider());
    const [agent, environment] = [
      (await post('/v1/agents', { name: 'x', model: 'demo' }, OTHER_KEY)).body.id,
      (await post('/v1/environments', { name: 'x' }, OTHER_KEY)).body.id,
    ];
    const routes: readonly (readonly [string, string, unknown?])[] = [
      ['GET', '/v1/vaults/ID'],
      ['POST', '/v1/vaults/ID', { display_name: 'x' }],
      ['POST', '/v1/vaults/ID/archive'],
      ['DELETE', '/v1/vaults/ID'],
      ['GET', '/v1/vaults/ID/credentials'],
      ['POST', '/v1/vaults/ID/credentials', provider()],
      ['GET', `/v1/vaults/ID/credentials/${credential.id}`],
      ['POST', `/v1/vaults/ID/credentials/${credential.id}`, { display_name: 'x' }],
      ['POST', `/v1/vaults/ID/credentials/${credential.id}/archive`],
      ['POST', `/v1/vaults/ID/credentials/${credential.id}/test`],
      ['POST', `/v1/vaults/ID/credentials/${credential.id}/mcp_oauth_validate`],
      ['DELETE', `/v1/vaults/ID/credentials/${credential.id}`],
      ['POST', '/v1/sessions', { agent, environment_id: environment, vault_ids: ['ID'] }],
    ];
    const missing = vault.replace(/.{8}$/, '00000000');
    for (const [method, route, body] of routes) {
      const ask = async (id: string) => {
        const given = body === undefined ? {} : { body: JSON.parse(JSON.stringify(body).replace('ID', id)) };
        const { status, body: answer } = await server.json(method, route.replace('ID', id), { key: OTHER_KEY, ...given });
        return [status, JSON.stringify({ ...answer, request_id: '' }).replaceAll(id, 'ID')];
      };
      const [foreign, unknown] = [await ask(vault), await ask(missing)];
      assert.equal(foreign[0], 404, `${method} ${route}`);
      assert.deepEqual(foreign, unknown, `${method} ${route}`);
    }
  });

  it('are given to sessions, and only usable ones', async () => {
    const vault = await makeVault();
    const agent = (await server.json('GET', '/v1/agents?order=asc')).body.data[0].id;
    const environment = (await server.json('GET', '/v1/environments')).body.data[0].id;
    const body = { agent, environment_id: environment, vault_ids: [vault, vault] };
    const { body: session } = await post('/v1/sessions', body);
    assert.deepEqual(session.vault_ids, [vault]);
    assert.deepEqual((await server.json('GET', `/v1/sessions/${session.id}`)).body.vault_ids, [vault]);
    assert.deepEqual((await post(`/v1/sessions/${session.id}/fork`, {})).body.vault_ids, [vault]);
    await post(`/v1/vaults/${vault}/archive`, undefined);
    assert.equal((await post('/v1/sessions', body)).body.error.code, 'vault_archived');
  });

  it("let a tenant's agents use the models of its keys, and tell which there are", async () => {
    const agent = { name: 'x', model: 'xai/grok-4' };
    const own = async () => (await server.json('GET', '/v1/providers', { key: OTHER_KEY })).body.data;
    assert.equal((await post('/v1/agents', agent, OTHER_KEY)).body.error.code, 'provider_not_configured');
    const vault = (await post('/v1/vaults', { display_name: 'theirs' }, OTHER_KEY)).body.id;
    const auth = { type: 'provider_key', provider: 'xai', api_key: KEY };
    assert.equal((await post(`/v1/vaults/${vault}/credentials`, { auth }, OTHER_KEY)).status, 200);
    assert.equal((await post('/v1/agents', agent, OTHER_KEY)).status, 200);
    assert.equal((await post('/v1/agents', agent)).body.error.code, 'provider_not_configured');
    assert.deepEqual(await own(), [{ provider: 'xai', own: true, managed: false }]);
  });
});

describe('the keys that secrets are sealed with', () => {
  const keyFile = (server: TestServer, id: string) => path.join(server.dataDir, 'keys', `${id}.kek`);
  const keys = async (server: TestServer): Promise<readonly Wire[]> => (await server.json('GET', '/v1/encryption_keys')).body.data;
  const withSecrets = async (server: TestServer) => {
    const vault = (await server.json('POST', '/v1/vaults', { body: { display_name: 'v' } })).body.id;
    for (const provider of ['anthropic', 'openai', 'google'])
      await server.json('POST', `/v1/vaults/${vault}/credentials`, { body: { auth: { type: 'provider_key', provider, api_key: KEY } } });
    await server.json('POST', '/v1/webhooks', {
      body: { url: 'https://hook.example/', events: '*' },
      headers: { 'idempotency-key': 'once' },
    });
  };

  it('are made once, rotated while the server serves, and removed when nothing uses them', async () => {
    await using server = await startTestServer();
    await withSecrets(server);
    const [old] = await keys(server);
    assert.equal((await stat(keyFile(server, old.id))).mode & 0o777, 0o600);
    assert.equal((await keys(server)).length, 1);
    assert.equal((await server.json('DELETE', `/v1/encryption_keys/${old.id}`)).body.error.code, 'encryption_key_in_use');
    const { body: rotation } = await server.json('POST', '/v1/encryption_keys/rotate');
    assert.equal(rotation.new, true);
    assert.notEqual(rotation.key_id, old.id);
    let now: readonly Wire[] = [];
    for (let tries = 0; tries < 200; tries++) {
      now = await keys(server);
      if (now.every((key) => key.current || key.uses === 0)) break;
    }
    assert.ok(now.find(({ id }) => id === rotation.key_id).uses >= 4);
    assert.equal((await server.json('DELETE', `/v1/encryption_keys/${old.id}`)).status, 200);
    await assert.rejects(stat(keyFile(server, old.id)), /ENOENT/);
    await server.restart();
    assert.deepEqual(
      (await keys(server)).map(({ id }) => id),
      [rotation.key_id],
    );
    // A repeat of what was answered before shows the webhook's secret as it was shown then.
    const again = await server.json('POST', '/v1/webhooks', {
      body: { url: 'https://hook.example/', events: '*' },
      headers: { 'idempotency-key': 'once' },
    });
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
  });

  it('are for who runs the installation only', async () => {
    await using server = await startTestServer();
    for (const [method, route] of [
      ['GET', '/v1/encryption_keys'],
      ['POST', '/v1/encryption_keys/rotate'],
    ] as const)
      assert.equal((await server.json(method, route, { key: OTHER_KEY })).status, 403);
  });

  it('are missed at the start, by their names, when something is sealed with them', async () => {
    await using server = await startTestServer();
    await withSecrets(server);
    const [key] = await keys(server);
    await server.stop();
    const [kept, away] = [keyFile(server, key.id), path.join(server.dataDir, 'away')];
    const secret = (await readFile(kept, 'utf8')).trim().slice(-44);
    await rename(kept, away);
    await assert.rejects(server.restart(), (error: Error) => error.message.includes(key.id) && !error.message.includes(secret));
    await rename(away, kept);
    await server.restart();
    assert.equal((await keys(server)).length, 1);
  });
});
