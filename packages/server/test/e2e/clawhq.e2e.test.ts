import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { newUnique } from '../../src/base/ids.ts';
import { testEngine } from '../../src/runtime/docker/test-engine.ts';
import { docker } from '../support/engine.ts';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const engine = await testEngine();
const PROVIDER_KEY = 'sk-the-provider-key-of-the-clawhq-test';

/** As ClawHQ's image: answers /health, knows what it was told by its environment, and asks its model. */
const PROGRAM = `
const http = require('http');
http.createServer(async (request, response) => {
  if (request.url === '/health') return response.end('ok');
  if (request.url === '/env') return response.end(JSON.stringify(Object.fromEntries(Object.entries(process.env).filter(([name]) => /^CLAWHQ_/.test(name)))));
  if (request.url !== '/ask') return response.end(String(process.getuid()));
  const answer = await fetch(process.env.ANTHROPIC_BASE_URL + '/v1/messages', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': process.env.CLAWHQ_API_KEY, 'anthropic-version': '2023-06-01' },
    body: JSON.stringify({ model: process.env.CLAWHQ_MODEL, max_tokens: 20, messages: [{ role: 'user', content: '[[text from the model]]' }] }),
  }).catch((error) => ({ status: 0, text: () => String(error.cause ?? error) }));
  response.end(JSON.stringify([answer.status, await answer.text()]));
}).listen(18789);
`;

describe("an agent of ClawHQ's in a container", { skip: engine.ok ? false : engine.reason, timeout: 300_000 }, () => {
  const image = `cloister-clawhq-test:${newUnique()}`;
  let server: ServerProcess;
  let model: FakeModel;
  before(async () => {
    // Its program is part of the image, as ClawHQ's is.
    const made = (await docker('create', engine.ok ? engine.image : '')).trim();
    await docker('commit', '--change', `ENTRYPOINT ${JSON.stringify(['node', '-e', PROGRAM])}`, '--change', 'CMD []', made, image);
    await docker('rm', made);
    model = await startFakeModel({ requireKey: PROVIDER_KEY });
    server = await startServerProcess({
      env: {
        CLOISTER_RUNTIME: 'docker',
        ...(engine.ok ? { CLOISTER_SANDBOX_IMAGE: engine.image } : {}),
        CLAWHQ_IMAGE: image,
        CLAWHQ_CLAUDE_API_KEY: PROVIDER_KEY,
        ANTHROPIC_BASE_URL: model.url,
        SERVICE_PORTS: '19450-19459',
        SERVICE_HEALTH_SECONDS: '1',
      },
    });
  });
  after(async () => {
    // Services outlive their server.
    if (server !== undefined) {
      for (const { id } of (await call('GET')).body.agents) await call('DELETE', `/${id}`);
      await waitFor(async () => (await servicesLeft()) === 0, { timeoutMs: 60_000, what: 'the last of the services' });
    }
    await server?.[Symbol.asyncDispose]();
    await model?.close();
    await docker('rmi', '--force', image);
  });

  const call = async (method: string, path = '', body?: object, headers: object = {}): Promise<{ status: number; body: Wire }> => {
    const response = await fetch(`${server.url}/api/agents${path}`, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  };
  const until = (id: string, status: string): Promise<Wire> =>
    waitFor(
      async () => {
        const { agent } = (await call('GET', `/${id}`)).body;
        return agent.containerStatus === status && (status !== 'running' || agent.lastHealthCheck !== null) ? agent : undefined;
      },
      { timeoutMs: 60_000, what: status },
    );

  it('is deployed, told what it was promised, reaches its model without the key, and is deleted', async () => {
    const { agent } = (await call('POST', '', { name: 'Bo', channels: ['telegram'], systemPrompt: 'Be kind.' })).body;
    const deployed = await call('POST', `/${agent.id}/deploy`);
    assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
    const { containerPort: port } = await until(agent.id, 'running');
    const inside = async (path: string): Promise<Wire> => (await fetch(`http://127.0.0.1:${port}${path}`)).json();
    const env = await inside('/env');
    assert.deepEqual(
      [env.CLAWHQ_USER_ID, env.CLAWHQ_AGENT_ID, env.CLAWHQ_AGENT_NAME, env.CLAWHQ_MODEL_PROVIDER, env.CLAWHQ_MODEL, env.CLAWHQ_CHANNELS],
      ['default', agent.id, 'Bo', 'claude', 'claude-sonnet-4-20250514', 'telegram'],
    );
    assert.equal(env.CLAWHQ_API_KEY, 'the-gateway-has-the-key');
    assert.equal(await inside('/who'), 1001);
    const [status, text] = await inside('/ask');
    assert.equal(status, 200, text);
    assert.match(text, /from the model/);

    const found = (
      await docker('ps', '-q', '--filter', 'label=clawhq.service=openclaw-agent', '--filter', `label=clawhq.agent-id=${agent.id}`)
    )
      .split('\n')
      .filter((id) => id !== '');
    assert.equal(found.length, 1);
    const inspected = await docker('inspect', ...found);
    const [{ HostConfig: host, Config: config }] = JSON.parse(inspected);
    assert.ok(!inspected.includes(PROVIDER_KEY));
    assert.equal(config.Labels['clawhq.name'], `clawhq-default-${agent.id}`);
    assert.deepEqual([host.Memory, host.NanoCpus, host.CapDrop, host.ReadonlyRootfs], [512 * 1024 ** 2, 5e8, ['ALL'], true]);

    const token = { 'x-webhook-token': env.CLAWHQ_WEBHOOK_TOKEN, authorization: '' };
    assert.deepEqual((await call('POST', `/${agent.id}/webhook`, { status: 'busy' }, token)).body, { received: true });
    assert.notEqual((await call('GET', `/${agent.id}`)).body.agent.lastHeartbeat, null);
    assert.ok((await call('GET', `/${agent.id}/stats`)).body.memory_usage_mb > 0);

    await call('POST', `/${agent.id}/stop`);
    await until(agent.id, 'stopped');
    assert.equal((await call('DELETE', `/${agent.id}`)).status, 200);
    const left = () => docker('ps', '-aq', '--filter', `label=clawhq.agent-id=${agent.id}`);
    await waitFor(async () => (await left()).trim() === '' && (await servicesLeft()) === 0, { timeoutMs: 60_000, what: 'the end' });
  });

  async function servicesLeft(): Promise<number> {
    const answer = await fetch(`${server.url}/v1/services`, { headers: { 'x-api-key': ADMIN_KEY } });
    const { data } = (await answer.json()) as { data: readonly unknown[] }; // a page
    return data.length;
  }
});
