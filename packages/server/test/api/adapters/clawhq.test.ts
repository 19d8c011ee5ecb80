import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { OTHER_KEY, startTestServer, type TestServer, type Wire } from '../../support/server.ts';
import { waitFor } from '../../support/wait-for.ts';

describe("ClawHQ's API", { timeout: 120_000 }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      env: { CLAWHQ_CLAUDE_API_KEY: 'sk-ant-nobody', SERVICE_PORTS: '19210-19211', CLAWHQ_IMAGE: 'any', SERVICE_START_SECONDS: '3600' },
    });
  });
  after(() => server?.[Symbol.asyncDispose]());

  const call = (method: string, path = '', body?: object, more: object = {}) =>
    server.json(method, `/api/agents${path}`, { ...(body === undefined ? {} : { body }), ...more });
  const create = async (more: object = {}): Promise<Wire> => {
    const { status, body } = await call('POST', '', { name: 'Bo', channels: ['telegram'], systemPrompt: 'Be kind.', ...more });
    assert.equal(status, 201, JSON.stringify(body));
    return body.agent;
  };
  const until = (id: string, status: string): Promise<Wire> =>
    waitFor(
      async () => {
        const { agent } = (await call('GET', `/${id}`)).body;
        return agent.containerStatus === status ? agent : undefined;
      },
      { timeoutMs: 20_000, what: status },
    );

  it('creates, lists, changes and copies agents', async () => {
    const made = await create();
    assert.deepEqual(
      [made.modelProvider, made.model, made.status, made.containerStatus, made.containerPort, made.usesBundledApi, made.temperature],
      ['claude', 'claude-sonnet-4-20250514', 'STOPPED', null, null, true, 0.7],
    );
    const listed = (await call('GET')).body.agents;
    assert.deepEqual(
      listed.find(({ id }: Wire) => id === made.id),
      made,
    );
    assert.deepEqual(
      (await call('GET', '', undefined, { key: OTHER_KEY })).body.agents.some(({ id }: Wire) => id === made.id),
      false,
    );
    const changed = (await call('PATCH', `/${made.id}`, { temperature: 0.2, name: 'Bob' })).body;
    assert.deepEqual([changed.agent.temperature, changed.agent.name, changed.configDirty], [0.2, 'Bob', false]);
    const copy = await call('POST', `/${made.id}/duplicate`);
    assert.deepEqual([copy.status, copy.body.agent.name, copy.body.agent.systemPrompt], [201, 'Bob (Copy)', 'Be kind.']);
    const file = await call('GET', `/${made.id}/export`);
    assert.match(file.headers.get('content-disposition') ?? '', /\.claw"$/);
    const imported = await call('POST', '/import', file.body);
    assert.deepEqual([imported.status, imported.body.agent.temperature, imported.body.agent.channels], [201, 0.2, ['telegram']]);
    const session = await server.createSession(made.id);
    assert.ok(session, 'it is an agent like any other');
    for (const id of [made.id, copy.body.agent.id, imported.body.agent.id]) {
      assert.deepEqual((await call('DELETE', `/${id}`)).body, { message: 'Agent deleted' });
      assert.equal((await call('GET', `/${id}`)).status, 404);
    }
  });

  it('deploys one container for each, and starts, stops and deletes it', async () => {
    const { id } = await create();
    const deployed = await call('POST', `/${id}/deploy`);
    assert.deepEqual([deployed.status, deployed.body.container.status], [200, 'starting']);
    assert.ok([19210, 19211].includes(deployed.body.container.port));
    const again = await call('POST', `/${id}/deploy`);
    assert.deepEqual([again.status, again.body.code], [409, 'service_exists']);
    const running = await until(id, 'running');
    assert.deepEqual([running.status, running.containerPort], ['RUNNING', deployed.body.container.port]);
    assert.equal((await call('PATCH', `/${id}`, { maxTokens: 10 })).body.configDirty, true);
    const stats = (await call('GET', `/${id}/stats`)).body;
    assert.deepEqual(Object.keys(stats), ['cpu_percent', 'memory_usage_mb', 'uptime_seconds']);
    assert.match((await call('GET', `/${id}/logs?lines=5`)).body.logs, /fake svc_/);
    assert.deepEqual((await call('POST', `/${id}/stop`)).body, { message: 'Agent stopped' });
    await until(id, 'stopped');
    assert.equal((await call('GET', `/${id}/logs`)).status, 409);
    await call('POST', `/${id}/start`);
    await until(id, 'running');
    assert.deepEqual((await call('POST', `/${id}/restart`)).body, { message: 'Agent restarted' });
    await until(id, 'running');
    const service = (await server.json('GET', '/v1/services')).body.data[0];
    assert.equal(service.name, `clawhq-default-${id}`);
    assert.ok(service.env_names.includes('CLAWHQ_WEBHOOK_TOKEN'));
    const told = await call('POST', `/${id}/webhook`, { status: 'x' }, { key: null, headers: { 'x-webhook-token': 'clcb_wrong' } });
    assert.deepEqual([told.status, typeof told.body.error], [401, 'string']);
    assert.equal((await call('POST', `/${id}/webhook`, { status: 'x' }, { key: server.key })).status, 401, 'a key is no token');
    await call('DELETE', `/${id}`);
    await waitFor(async () => (await server.json('GET', '/v1/services')).body.data.length === 0, { timeoutMs: 20_000, what: 'the end' });
  });

  it('keeps a key of an agent’s own where nobody reads it', async () => {
    const apiKey = 'xai-a-key-of-an-agent-of-its-own-0123456789';
    const own = await create({ name: 'Own', modelProvider: 'grok', model: 'grok-4', apiKey });
    assert.equal(own.usesBundledApi, false);
    const [vault] = (await server.json('GET', '/v1/vaults')).body.data;
    assert.deepEqual(vault.agent_ids, [own.id]);
    const told = await Promise.all(
      ['/v1/vaults', `/v1/agents/${own.id}`, `/api/agents/${own.id}`, `/api/agents/${own.id}/export`].map(async (path) =>
        (await server.request('GET', path)).text(),
      ),
    );
    assert.ok(told.every((text) => !text.includes(apiKey)));
    assert.equal((await call('POST', `/${own.id}/deploy`)).status, 200);
    await until(own.id, 'running');
    await call('DELETE', `/${own.id}`);
    assert.deepEqual((await server.json('GET', '/v1/vaults')).body.data, []);
    const without = await create({ usesBundledApi: false });
    const refused = await call('POST', `/${without.id}/deploy`);
    assert.deepEqual([refused.status, refused.body.details[0].path], [400, '/apiKey']);
    await call('DELETE', `/${without.id}`);
    await waitFor(async () => (await server.json('GET', '/v1/services')).body.data.length === 0, { timeoutMs: 20_000, what: 'the end' });
  });

  it('tells what went wrong in the shape of ClawHQ', async () => {
    const refused = async (method: string, path: string, body: object | undefined, status: number, code: string) => {
      const answer = await call(method, path, body);
      assert.deepEqual([answer.status, answer.body.code, typeof answer.body.error], [status, code, 'string'], JSON.stringify(answer.body));
    };
    await refused('POST', '', { name: '' }, 400, 'request_invalid');
    await refused('POST', '', { name: 'x', modelProvider: 'other' }, 400, 'request_invalid');
    await refused('POST', '', { name: 'x', modelProvider: 'grok', model: 'grok-4' }, 503, 'provider_not_configured');
    await refused('GET', '/agt_0', undefined, 404, 'agent_not_found');
    await refused('POST', '/agt_0/deploy', undefined, 404, 'agent_not_found');
    await refused('POST', '/agt_0/webhook', {}, 401, 'credentials_invalid');
    const { id } = await create();
    await refused('POST', `/${id}/start`, undefined, 404, 'service_not_found');
    await refused('GET', `/${id}/logs?lines=501`, undefined, 400, 'request_invalid');
    for (const [method, path] of [
      ['GET', ''],
      ['POST', '/deploy'],
      ['POST', '/stop'],
      ['DELETE', ''],
    ] as const)
      assert.equal((await call(method, `/${id}${path}`, undefined, { key: OTHER_KEY })).status, 404, `${method} ${path}`);
    const stranger = await call('GET', '', undefined, { key: 'clst_nobody' });
    assert.deepEqual([stranger.status, stranger.body.code], [401, 'credentials_invalid']);
    await call('DELETE', `/${id}`);
  });

  it('answers 403 when there are as many containers as there may be', async () => {
    await using small = await startTestServer({ env: { CLAWHQ_CLAUDE_API_KEY: 'sk', CLAWHQ_IMAGE: 'any', MAX_SERVICES_PER_TENANT: '0' } });
    const { agent } = (await small.json('POST', '/api/agents', { body: { name: 'x' } })).body;
    const { status, body } = await small.json('POST', `/api/agents/${agent.id}/deploy`);
    assert.deepEqual([status, body.code], [403, 'service_limit_reached']);
  });
});
