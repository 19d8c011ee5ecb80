import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestServer, type TestServer } from '../support/server.ts';

describe('the labels of the runtime', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  it('are no better than it is, and the stages are told once there were some', async () => {
    const { body: before } = await server.json('GET', '/v1/status');
    assert.deepEqual(
      [before.isolation, before.capabilities],
      [
        'none',
        {
          runtime_classes: [],
          default_runtime_class: null,
          limits: false,
          egress: 'open',
          workspace_quota: before.capabilities.workspace_quota,
          sleep: true,
          services: true,
          warm_pool: before.warm_pool.max > 0,
        },
      ],
    );
    assert.deepEqual(
      [before.warm_pool.environments, before.warm_pool.reason],
      [[], before.warm_pool.max > 0 ? null : 'WARM_POOL_MAX is 0.'],
    );
    const id = await server.createSession();
    await server.json('POST', `/v1/sessions/${id}/events?wait=15`, {
      body: { events: [{ type: 'user.message', content: [{ type: 'text', text: 'hello' }] }] },
    });
    const { stages } = (await server.json('GET', '/v1/status')).body;
    for (const stage of ['queue', 'create', 'start', 'ready']) assert.ok(stages[stage]?.count >= 1, stage);
    const { sandbox } = (await server.json('GET', `/v1/sessions/${id}`)).body;
    const [listed] = (await server.json('GET', '/v1/sandboxes')).body.data;
    assert.deepEqual([sandbox.isolation, sandbox.runtime_class, sandbox.id], ['none', null, listed.id]);
    assert.deepEqual([listed.session_id, listed.isolation, listed.runtime_class], [id, 'none', null]);
  });
});
