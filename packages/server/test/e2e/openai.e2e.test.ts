import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import OpenAI from 'openai';
import { containersOf, docker, engineMissing } from '../support/engine.ts';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const PROVIDER_KEY = 'sk-the-provider-key-of-the-openai-test';

describe('the OpenAI SDK and an agent in a container', { timeout: 400_000 }, () => {
  let skip: string | false = false;
  let model: FakeModel;
  let server: ServerProcess;
  let openai: OpenAI;
  before(async () => {
    skip = await engineMissing();
    if (skip !== false) return;
    model = await startFakeModel({ requireKey: PROVIDER_KEY });
    server = await startServerProcess({
      env: {
        CLOISTER_HARNESS: 'builtin',
        CLOISTER_MODEL: 'claude-fake',
        ANTHROPIC_BASE_URL: model.url,
        ANTHROPIC_API_KEY: PROVIDER_KEY,
      },
      readyMs: 300_000,
    });
    openai = new OpenAI({ apiKey: ADMIN_KEY, baseURL: `${server.url}/v1`, maxRetries: 0, timeout: 120_000 });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await model?.close();
  });

  it('streams what the agent says and does, goes on, and keeps the key outside', async (t) => {
    if (skip !== false) return t.skip(skip);
    const say = (content: string) => ({ role: 'user' as const, content });
    const messages: OpenAI.ChatCompletionMessageParam[] = [say('[[tool bash {"command":"id -u > who.txt; cat who.txt"}]]')];
    const { data: stream, response } = await openai.chat.completions
      .create({ model: 'default', messages, stream: true, stream_options: { include_usage: true } })
      .withResponse();
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.notEqual(text, '');
    assert.ok((usage?.prompt_tokens ?? 0) > 0 && (usage?.completion_tokens ?? 0) > 0, JSON.stringify(usage));
    const session = response.headers.get('cloister-session') ?? '';
    const next = await openai.chat.completions
      .create({
        model: 'default',
        messages: [...messages, { role: 'assistant', content: text }, say('[[tool bash {"command":"cat who.txt"}]]')],
      })
      .withResponse();
    assert.equal(next.response.headers.get('cloister-session'), session, 'the same session, and so the same files');
    const events = await fetch(`${server.url}/v1/sessions/${session}/events?types[]=agent.tool_result`, {
      headers: { 'x-api-key': ADMIN_KEY },
    }).then(async (answer): Promise<Wire> => answer.json());
    assert.deepEqual(
      events.data.map(({ content }: Wire) => content[0].text.trim()),
      ['1000', '1000'],
    );
    const containers = await containersOf(`cloister.session=${session}`);
    assert.ok(!(await docker('inspect', ...containers)).includes(PROVIDER_KEY));
    const responded = await openai.responses.create({ model: 'default', input: 'hello', stream: false });
    assert.deepEqual([responded.status, responded.usage?.input_tokens !== 0], ['completed', true]);
    await Promise.all(
      [session, `ses_${responded.conversation?.id.slice(5)}`].map((id) =>
        fetch(`${server.url}/v1/sessions/${id}`, { method: 'DELETE', headers: { 'x-api-key': ADMIN_KEY } }),
      ),
    );
    await waitFor(async () => (await containersOf(`cloister.session=${session}`)).length === 0, { timeoutMs: 30_000, what: 'the end' });
  });
});
