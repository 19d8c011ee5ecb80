import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createClient } from '@cloister/api';
import { ADMIN_KEY, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const MS = 30_000;

describe('a server that is killed while a question is open', { timeout: 180_000 }, () => {
  it('finds it open again, and the answer lets the turn go on once', async () => {
    await using server = await startServerProcess({ env: { CLOISTER_RUNTIME: 'fake', SWEEP_SECONDS: '1' } });
    const client = createClient({ url: server.url, key: ADMIN_KEY });
    const environment = (await client.environments.list()).data[0]?.id ?? '';
    const agent = await client.agents.create({ name: 'x', model: 'demo', permission_rules: [{ tool: 'bash', policy: 'ask' }] });
    const { id } = await client.sessions.create({ agent: agent.id, environment_id: environment });
    await client.events.send(id, [{ type: 'user.message', content: '[[tool bash {"command":"ls"}]]' }]);
    const pending = async () => (await client.approvals.list({ session_id: id, 'states[]': ['pending'] })).data[0];
    await waitFor(async () => (await pending()) !== undefined, { timeoutMs: MS, what: 'the question' });
    const before = await pending();

    await server.kill('SIGKILL');
    await server.start();

    assert.deepEqual(await pending(), before, 'the question is as it was');
    await client.approvals.answer(before?.id ?? '', { decision: 'allow' });
    const events = async () => (await client.events.list(id, { limit: 1000 })).data;
    await waitFor(async () => (await events()).some(({ type }) => type === 'turn.ended'), { timeoutMs: MS, what: 'the end of the turn' });
    const all = await events();
    assert.equal(all.filter(({ type }) => type === 'agent.tool_result').length, 0, 'the call of before has not run by itself');
    assert.equal(all.filter(({ type }) => type === 'turn.ended').length, 1);
    assert.equal((await client.approvals.get(before?.id ?? '')).state, 'allowed');
    const verdict = await client.audit.verify();
    assert.deepEqual([verdict.intact, verdict.entries > 0], [true, true]);
  });
});
