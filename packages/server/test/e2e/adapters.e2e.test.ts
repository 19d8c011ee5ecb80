import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { COLLECTION, WALKTHROUGH } from '../api/adapters/agent-http-requests.ts';
import { chunksOf, sendPublished } from '../api/adapters/published.ts';
import { containersOf, engineMissing } from '../support/engine.ts';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const PROVIDER_KEY = 'sk-real-provider-key-that-must-stay-outside';
const NOCLAW_KEY = 'a-key-that-noclaw-had-before';

describe("other systems' clients, whole, with the built-in agent in containers", { timeout: 600_000 }, () => {
  let skip: string | false = false;
  let model: FakeModel;
  let server: ServerProcess;

  before(async () => {
    skip = await engineMissing();
    if (skip !== false) return;
    model = await startFakeModel({ requireKey: PROVIDER_KEY });
    server = await startServerProcess({
      env: {
        CLOISTER_HARNESS: 'builtin',
        CLOISTER_MODEL: 'claude-sonnet-4-5',
        ANTHROPIC_API_KEY: PROVIDER_KEY,
        ANTHROPIC_BASE_URL: model.url,
        NOCLAW_API_KEY: NOCLAW_KEY,
      },
      readyMs: 300_000,
    });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await model?.close();
  });

  const test = (name: string, run: () => Promise<void>): void => {
    void it(name, async (t) => {
      if (skip !== false) return t.skip(skip);
      await run();
    });
  };
  const call = async (key: string, method: string, path: string, body?: unknown): Promise<Wire> => {
    const response = await fetch(`${server.url}${path}`, {
      method,
      headers: { 'x-api-key': key, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text);
  };

  test('Claude Agent HTTP: its published collection and the way through of its documents', async () => {
    const sent = await sendPublished(server.url, ADMIN_KEY, [...COLLECTION, ...WALKTHROUGH]);
    const chunks = chunksOf(sent.find(({ request }) => request.path.endsWith('/stream'))?.text ?? '');
    assert.equal(chunks.at(-1)?.type, 'done');
    assert.ok(chunks.some(({ type, text }) => type === 'text_delta' && typeof text === 'string' && text.length > 0));
  });

  test('Claude Agent HTTP: tools run in the container, in the files of the user', async () => {
    const tool = (command: string) => `[[tool bash ${JSON.stringify({ command })}]]`;
    const create = async (): Promise<string> => {
      const [sent] = await sendPublished(server.url, ADMIN_KEY, [
        { what: 'a session', method: 'POST', path: '/api/v1/sessions', body: { user_id: 'worker', subdir: 'job' }, status: 201 },
      ]);
      return JSON.parse(sent?.text ?? '').session_id;
    };
    const first = await create();
    const made = await call(ADMIN_KEY, 'POST', '/api/v1/chat', { session_id: first, message: tool('echo made > job/made.txt; id -u') });
    assert.deepEqual(made.tool_calls, [{ tool: 'Bash', input: { command: 'echo made > job/made.txt; id -u' } }]);
    const second = await create();
    await call(ADMIN_KEY, 'POST', '/api/v1/chat', { session_id: second, message: tool('cat job/made.txt') });
    const { data } = await call(ADMIN_KEY, 'GET', `/v1/sessions/${second}/events?types[]=agent.tool_result`);
    assert.match(data[0].content[0].text, /made/);
  });

  test('NoClaw: each request has a container of its own, and the model that was hinted at', async () => {
    const label = 'cloister.session';
    const ask = (message: string, more: object = {}) => call(NOCLAW_KEY, 'POST', '/webhook', { user: 'ada', message, ...more });
    const seen = new Set<string>();
    for (const [message, hint] of [
      ['first', 'haiku'],
      ['second', 'opus'],
    ] as const) {
      const { metadata } = await ask(`[[tool bash {"command":"hostname; cat /proc/sys/kernel/random/uuid"}]] ${message}`, {
        model_hint: hint,
      });
      const { data } = await call(ADMIN_KEY, 'GET', `/v1/sessions/${metadata.session_id}/turns`);
      const turn = data.find(({ id }: Wire) => id === metadata.turn_id);
      assert.equal(typeof turn.stages.create, 'number');
      seen.add(metadata.turn_id);
      await waitFor(async () => (await containersOf(`${label}=${metadata.session_id}`)).length === 0, {
        timeoutMs: 60_000,
        what: 'its end',
      });
    }
    assert.equal(seen.size, 2);
    const { history } = await call(NOCLAW_KEY, 'GET', '/history/ada');
    assert.deepEqual(
      history.map(({ model_used: used }: Wire) => used.replace(/-4-\d$/, '')),
      ['claude-opus', 'claude-haiku'],
    );
    assert.ok(history.every(({ tokens_used: tokens }: Wire) => tokens > 0));
  });
});
