import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { message, startTestServer } from '../../support/server.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('an environment whose sandboxes are for one turn', () => {
  it('gives each turn a new one, and the conversation goes on', async () => {
    await using server = await startTestServer({ env: { PRESTART_SANDBOXES: 'false' } });
    const made = await server.json('POST', '/v1/environments', { body: { name: 'fresh', config: { type: 'container', sandbox: 'turn' } } });
    assert.equal(made.body.config.sandbox, 'turn');
    const agent = (await server.json('GET', '/v1/agents?order=asc')).body.data[0].id;
    const { body: session } = await server.json('POST', '/v1/sessions', { body: { agent, environment_id: made.body.id } });
    for (const count of [1, 2, 3]) {
      const { body } = await server.json('POST', `/v1/sessions/${session.id}/events?wait=20`, { body: { events: [message('again')] } });
      assert.equal(
        body.events.find(({ type }: { type: string }) => type === 'agent.message').content[0].text,
        `echo: again | turns=${count}`,
      );
      assert.equal(typeof body.turn.stages.create, 'number', 'a sandbox was made for it');
      await waitFor(async () => (await server.json('GET', '/v1/sandboxes')).body.data.length === 0, { timeoutMs: 10_000, what: 'its end' });
    }
    const { body: plain } = await server.json('POST', '/v1/environments', { body: { name: 'kept', config: { type: 'container' } } });
    assert.equal(plain.config.sandbox, 'session');
  });
});
