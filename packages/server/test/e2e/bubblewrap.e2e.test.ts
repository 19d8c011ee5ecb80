import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { thisHost } from '../../src/runtime/bubblewrap/driver.ts';
import { bubblewrapMissing, testDirectory } from '../../src/runtime/bubblewrap/test-host.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const PROVIDER_KEY = 'sk-real-provider-key-that-must-stay-outside';
const MODEL = 'claude-sonnet-4-5';
const TURN_MS = 60_000;

const trial = testDirectory();
const skip = await bubblewrapMissing({ stateDirectory: trial.path });
trial.remove();

/** The main job once more where there is no engine: what `scenario.ts` shows of the rest does not depend on the runtime. */
describe('the whole way on bubblewrap', { skip }, () => {
  let model: FakeModel;
  let server: ServerProcess;
  let client: Anthropic;
  let sessionId: string;

  before(async () => {
    model = await startFakeModel({ requireKey: PROVIDER_KEY });
    server = await startServerProcess({
      env: {
        CLOISTER_RUNTIME: 'bubblewrap',
        CLOISTER_HARNESS: 'builtin',
        CLOISTER_MODEL: MODEL,
        ANTHROPIC_BASE_URL: model.url,
        ANTHROPIC_API_KEY: PROVIDER_KEY,
        RETRY_BASE_SECONDS: '0',
      },
    });
    client = new Anthropic({ apiKey: ADMIN_KEY, baseURL: server.url, maxRetries: 0 });
    const environment = await client.beta.environments.create({ name: 'bubblewrap' });
    const agent = await client.beta.agents.create({
      name: 'bubblewrap',
      model: MODEL,
      tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'always_allow' } } }],
    });
    sessionId = (await client.beta.sessions.create({ agent: agent.id, environment_id: environment.id })).id;
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await model?.close();
  });

  const send = (text: string) =>
    client.beta.sessions.events.send(sessionId, { events: [{ type: 'user.message', content: [{ type: 'text', text }] }] });
  const shell = (command: string) => send(`[[tool bash ${JSON.stringify({ command })}]]`);
  const events = async (): Promise<readonly { readonly type: string; readonly outcome?: string }[]> => {
    const all: { readonly type: string; readonly outcome?: string }[] = [];
    for await (const event of client.beta.sessions.events.list(sessionId, { limit: 500 })) all.push(event);
    return all;
  };
  const nthEnd = async (n: number) => {
    const isEnd = ({ type }: { readonly type: string }) => type === 'turn.ended';
    return waitFor(async () => (await events()).filter(isEnd)[n - 1], { timeoutMs: TURN_MS, what: `the end of turn ${n}` });
  };
  const workspace = (name: string) => path.join(server.dataDir, 'sessions', sessionId, 'workspace', name);
  const sandboxes = async () =>
    (await readdir(path.join(server.dataDir, 'bubblewrap', thisHost(), 'sandboxes'))).filter((name) => !name.startsWith('.'));

  it('says what it runs on', async () => {
    const answer = await fetch(`${server.url}/v1/status`, { headers: { 'x-api-key': ADMIN_KEY } });
    const status: unknown = await answer.json();
    assert.ok(typeof status === 'object' && status !== null && 'runtime' in status && 'isolation' in status);
    assert.equal(status.runtime, 'bubblewrap (weaker isolation)');
    assert.equal(status.isolation, 'weaker');
  });

  it('works in the workspace as nobody special, and knows no key', async () => {
    await shell('echo made > made.txt; id -u > who.txt; cat /proc/[0-9]*/environ > environ.txt 2>/dev/null; true');
    assert.equal((await nthEnd(1)).outcome, 'completed');
    const answer = await fetch(`${server.url}/v1/sessions/${sessionId}`, { headers: { 'x-api-key': ADMIN_KEY } });
    const { sandbox } = (await answer.json()) as { sandbox: { isolation: string; runtime_class: string | null } };
    assert.deepEqual([sandbox.isolation, sandbox.runtime_class], ['weaker', null]);
    assert.equal(await readFile(workspace('made.txt'), 'utf8'), 'made\n');
    assert.notEqual((await readFile(workspace('who.txt'), 'utf8')).trim(), '0');
    assert.notEqual((await stat(workspace('made.txt'))).uid, 0, 'on the host too');
    const environ = await readFile(workspace('environ.txt'), 'utf8');
    assert.match(environ, /CLOISTER_GATEWAY_PORT/);
    assert.ok(!environ.includes(PROVIDER_KEY) && !environ.includes(ADMIN_KEY));
    assert.equal((await sandboxes()).length, 1);
  });

  it('goes on after kill -9, without what was left of the last life', async () => {
    const [orphan] = await sandboxes();
    await server.kill('SIGKILL');
    await server.start();
    await waitFor(async () => !(await sandboxes()).includes(orphan ?? ''), { timeoutMs: TURN_MS, what: 'the orphan to be removed' });
    await send('and now?');
    assert.equal((await nthEnd(2)).outcome, 'completed');
    assert.match(JSON.stringify(await events()), /and now\? \| turns=[2-9]/, 'it remembers');
    assert.equal(await server.kill('SIGTERM'), 0, 'a clean stop');
    assert.deepEqual(await sandboxes(), []);
    await server.start();
  });
});
