import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createClient, type SessionEvent } from '@cloister/api';
import { containersOf, docker, engineMissing } from '../support/engine.ts';
import { ADMIN_KEY, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const MS = 60_000;

const results = (events: readonly SessionEvent[] | undefined): string =>
  JSON.stringify(events?.filter((event) => event.type === 'agent.tool_result'));

it('a session sleeps in its container, wakes with what it had in memory, and survives the loss of it', async (t) => {
  const missing = await engineMissing();
  if (missing !== false) return t.skip(missing);
  await using server = await startServerProcess({ env: { SANDBOX_PAUSE_SECONDS: '1', SANDBOX_HIBERNATE_SECONDS: '2' } });
  const client = createClient({ url: server.url, key: ADMIN_KEY });
  const agent = (await client.agents.list()).data[0];
  const environment = (await client.environments.list()).data[0];
  const { id } = await client.sessions.create({ agent: agent?.id ?? '', environment_id: environment?.id ?? '' });
  const say = (text: string) => client.events.send(id, [{ type: 'user.message', content: text }], { wait: 60 });
  const states = async (container: string) => (await docker('inspect', '-f', '{{.State.Status}}', container)).trim();
  const asleep = (container: string) =>
    waitFor(async () => (await states(container)) === 'paused', { timeoutMs: MS, what: 'the container to be paused' });

  // Its sandbox is there before the first message.
  const [container = ''] = await waitFor(
    async () => {
      const found = await containersOf(`cloister.session=${id}`);
      return found.length === 1 ? found : undefined;
    },
    { timeoutMs: MS, what: 'the sandbox to be opened ahead' },
  );
  const first = await say('run echo kept > /tmp/note');
  assert.equal(first.turn?.outcome, 'completed');
  assert.deepEqual(await containersOf(`cloister.session=${id}`), [container]);

  await asleep(container);
  const listed: unknown = await (await fetch(`${server.url}/v1/sandboxes`, { headers: { 'x-api-key': ADMIN_KEY } })).json();
  assert.match(JSON.stringify(listed), /"state":"(paused|hibernated)"/);
  const second = await say('run cat /tmp/note');
  assert.equal(second.turn?.outcome, 'completed');
  assert.match(results(second.events), /kept/, 'what was in memory is there');
  assert.ok(second.turn?.stages?.wake !== undefined && second.turn.stages.create === undefined, JSON.stringify(second.turn));
  assert.deepEqual(await containersOf(`cloister.session=${id}`), [container]);

  await asleep(container);
  await docker('rm', '-f', container);
  const third = await say('run echo again');
  assert.equal(third.turn?.outcome, 'completed');
  assert.match(results(third.events), /again/);
  const metrics = await (await fetch(`${server.url}/metrics`, { headers: { 'x-api-key': ADMIN_KEY } })).text();
  assert.match(metrics, /cloister_stage_seconds_count\{stage="wake"\} 1/);
  assert.match(metrics, /cloister_sandboxes\{state="paused"\} \d/);
});
