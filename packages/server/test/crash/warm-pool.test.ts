import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const MS = 30_000;
const MAIN = path.resolve(import.meta.dirname, '../../../../test/torture/server-main.ts');

async function api(server: ServerProcess, method: string, route: string, body?: Wire): Promise<Wire> {
  const response = await fetch(`${server.url}${route}`, {
    method,
    headers: { 'x-api-key': ADMIN_KEY, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  assert.equal(response.status, 200, route);
  return route === '/metrics' ? response.text() : response.json();
}

it('a server that is killed between the claim of a warm sandbox and its hand-over loses nothing', { timeout: 120_000 }, async () => {
  await using server = await startServerProcess({
    program: MAIN,
    env: { CLOISTER_RUNTIME: 'fake', WARM_POOL_MAX: '1', PRESTART_SANDBOXES: 'false', CLOISTER_TEST_CRASH_AT: 'warm.after_claim:1' },
  });
  const untilReady = () =>
    waitFor(async () => (await api(server, 'GET', '/metrics')).includes('cloister_warm_sandboxes{state="ready"} 1'), {
      timeoutMs: MS,
      what: 'a sandbox to stand ready',
    });
  const environment = await api(server, 'POST', '/v1/environments', { name: 'pooled', config: { type: 'container', warm: 1 } });
  const agent = await api(server, 'POST', '/v1/agents', { name: 'one', model: 'demo', harness: 'fake' });
  const newSession = async () => (await api(server, 'POST', '/v1/sessions', { agent: agent.id, environment_id: environment.id })).id;
  const events = [{ type: 'user.message', content: [{ type: 'text', text: 'hello' }] }];
  await api(server, 'POST', `/v1/sessions/${await newSession()}/events?wait=30`, { events });
  await untilReady();
  const session = await newSession();
  const pid = server.pid();
  await api(server, 'POST', `/v1/sessions/${session}/events`, { events });
  await waitFor(() => !isAlive(pid), { timeoutMs: MS, what: 'the server to die at the claim' });
  const left = await readdir(path.join(server.dataDir, 'sessions', '.warm'));
  await server.start({ CLOISTER_TEST_CRASH_AT: 'warm.after_claim:1000000' });
  const ends = async (): Promise<Wire[]> =>
    (await api(server, 'GET', `/v1/sessions/${session}/events?limit=100`)).data.filter((event: Wire) => event.type === 'turn.ended');
  await waitFor(async () => (await ends()).length > 0, { timeoutMs: MS, what: 'the end of the turn' });
  assert.deepEqual(
    (await ends()).map(({ outcome }) => outcome),
    ['completed'],
  );
  await untilReady();
  const now = await readdir(path.join(server.dataDir, 'sessions', '.warm'));
  assert.equal(now.length, 1);
  assert.notDeepEqual(now, left, 'what the dead server had is gone');
});

/** Signal 0 asks without a signal. A zombie is not alive: its exit was seen. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
