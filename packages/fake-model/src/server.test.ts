import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type FakeModel, startFakeModel } from './index.ts';

interface WireCase {
  readonly name: string;
  readonly path: string;
  readonly auth: Readonly<Record<string, string>>;
  body(texts: readonly string[], results?: readonly string[]): Record<string, unknown>;
  /** Text of a whole stream. */
  textOf(events: readonly string[]): string;
  readonly end: RegExp;
}

const KEY = 'real-key';
const at = (value: unknown, ...path: readonly (string | number)[]): unknown =>
  path.reduce<unknown>((inner, key) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined), value);
const joined = (events: readonly string[], ...path: readonly (string | number)[]): string =>
  events
    .filter((one) => one !== '[DONE]')
    .map((one) => at(JSON.parse(one), ...path))
    .filter((one) => typeof one === 'string')
    .join('');

const WIRES: readonly WireCase[] = [
  {
    name: 'anthropic',
    path: '/v1/messages?beta=true',
    auth: { 'x-api-key': KEY },
    body: (texts, results = []) => ({
      model: 'm',
      stream: true,
      messages: [
        ...texts.map((text) => ({ role: 'user', content: [{ type: 'text', text }] })),
        ...results.flatMap((content, id) => [
          { role: 'assistant', content: [{ type: 'tool_use', id: `t${id}`, name: 'bash', input: {} }] },
          {
            role: 'user',
            content: [
              { type: 'tool_result', tool_use_id: `t${id}`, content },
              { type: 'text', text: '<system-reminder>be kind</system-reminder>' },
            ],
          },
        ]),
        { role: 'system', content: 'an entry between the messages' },
      ],
    }),
    textOf: (events) => joined(events, 'delta', 'text'),
    end: /message_stop/,
  },
  {
    name: 'openai chat',
    path: '/v1/chat/completions',
    auth: { authorization: `Bearer ${KEY}` },
    body: (texts, results = []) => ({
      model: 'm',
      stream: true,
      stream_options: { include_usage: true },
      messages: [
        ...texts.map((content) => ({ role: 'user', content })),
        ...results.map((content, id) => ({ role: 'tool', tool_call_id: `t${id}`, content })),
      ],
    }),
    textOf: (events) => joined(events, 'choices', 0, 'delta', 'content'),
    end: /\[DONE\]/,
  },
  {
    name: 'openai responses',
    path: '/v1/responses',
    auth: { authorization: `Bearer ${KEY}` },
    body: (texts, results = []) => ({
      model: 'm',
      stream: true,
      input: [
        ...texts.map((text) => ({ role: 'user', content: [{ type: 'input_text', text }] })),
        ...results.map((output, id) => ({ type: 'function_call_output', call_id: `t${id}`, output })),
      ],
    }),
    textOf: (events) =>
      joined(
        events.filter((one) => one.includes('output_text.delta')),
        'delta',
      ),
    end: /response\.completed/,
  },
  {
    name: 'gemini',
    path: '/v1beta/models/m:streamGenerateContent?alt=sse',
    auth: { 'x-goog-api-key': KEY },
    body: (texts, results = []) => ({
      contents: [
        ...texts.map((text) => ({ role: 'user', parts: [{ text }] })),
        ...results.map((content) => ({ role: 'user', parts: [{ functionResponse: { name: 'bash', response: { content } } }] })),
      ],
    }),
    textOf: (events) => joined(events, 'candidates', 0, 'content', 'parts', 0, 'text'),
    end: /"finishReason":"STOP"/,
  },
];

let model: FakeModel;
before(async () => {
  model = await startFakeModel({ requireKey: KEY });
});
after(() => model.close());

async function call(wire: WireCase, body: Record<string, unknown>, init: RequestInit = {}): Promise<Response> {
  return fetch(model.url + wire.path, { method: 'POST', headers: wire.auth, body: JSON.stringify(body), ...init });
}

function dataOf(raw: string): readonly string[] {
  return [...raw.matchAll(/^data: (.*)$/gm)].map((match) => match[1] ?? '');
}

async function waitFor(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `not in time: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

for (const wire of WIRES) {
  describe(wire.name, () => {
    test('echoes the last text and counts the turns', async () => {
      const raw = await (await call(wire, wire.body(['first', 'hello there']))).text();
      assert.equal(wire.textOf(dataOf(raw)), 'echo: hello there | turns=2');
      assert.match(raw, wire.end);
    });

    test('refuses any other key with 401', async () => {
      const headers = Object.fromEntries(Object.keys(wire.auth).map((name) => [name, 'placeholder']));
      assert.equal((await call(wire, wire.body(['hi']), { headers })).status, 401);
    });

    test('runs several tools one after another, then says what the last one returned', async () => {
      const said = 'go [[tool bash {"command":"echo ]] {\\"a\\":1}"}]] [[tool read {"file_path":"x"}]]';
      const first = await (await call(wire, wire.body([said]))).text();
      assert.match(first, /"name":"bash"/);
      assert.match(first, /\]\] \{/);
      assert.match(await (await call(wire, wire.body([said], ['one']))).text(), /"name":"read"/);
      const last = await (await call(wire, wire.body([said], ['one', 'two']))).text();
      assert.match(wire.textOf(dataOf(last)), /^tool said: .*two/);
      const next = await (await call(wire, { ...wire.body([said, 'and now?']) })).text();
      assert.match(wire.textOf(dataOf(next)), /^echo: and now\? \| turns=2$/);
    });

    test('thinks aloud, counts what it is told to, and answers a side request plainly', async () => {
      assert.match(await (await call(wire, wire.body(['[[think]] well']))).text(), /let me think/);
      const counted = await (await call(wire, wire.body(['[[usage 11 22 33 44]]']))).text();
      for (const count of [11, 22, 33]) assert.match(counted, new RegExp(`:${count}\\b`));
      const side = await (await call(wire, { ...wire.body(['[[error 500]]']), tools: [] })).text();
      assert.match(side, wire.end);
    });

    test('fails in every way it is told to', async () => {
      assert.equal((await call(wire, wire.body(['[[error 529]]']))).status, 529);
      const limited = await call(wire, wire.body(['[[retryafter 7]]']));
      assert.deepEqual([limited.status, limited.headers.get('retry-after')], [429, '7']);
      const once = wire.body([`[[error1 503]] ${wire.name}`]);
      assert.deepEqual([(await call(wire, once)).status, (await call(wire, once)).status], [503, 200]);
      await assert.rejects((await call(wire, wire.body(['[[cut]]']))).text());
      assert.doesNotMatch(await (await call(wire, wire.body(['[[nofinish]]']))).text(), wire.end);
      assert.match(await (await call(wire, wire.body(['[[streamerror overloaded_error]]']))).text(), /fake overloaded_error/);
      const bad = dataOf(await (await call(wire, wire.body(['[[badjson]]']))).text());
      assert.ok(bad.some((one) => one !== '[DONE]' && !isJson(one)));
    });

    test('streams as it goes, and sees the client hang up', async () => {
      const before = model.abortedStreams();
      const silent = new AbortController();
      const quiet = await call(wire, wire.body(['[[silent]]']), { signal: silent.signal });
      const first = await quiet.body?.getReader().read();
      assert.match(Buffer.from(first?.value ?? []).toString(), /data: /);
      assert.equal(model.activeStreams(), 1);
      silent.abort();
      await waitFor('the abort', () => model.abortedStreams() === before + 1 && model.activeStreams() === 0);
    });

    test('answers without a stream', async () => {
      const path = wire.path.replace('streamGenerateContent?alt=sse', 'generateContent');
      const body = JSON.stringify({ ...wire.body(['[[text exactly this]]']), stream: false });
      const response = await fetch(model.url + path, { method: 'POST', headers: wire.auth, body });
      assert.match(JSON.stringify(await response.json()), /exactly this/);
    });
  });
}

function isJson(value: string): boolean {
  try {
    JSON.parse(value);
    return true;
  } catch {
    return false;
  }
}

test('counts tokens, lists models, answers HEAD, records requests', async () => {
  const headers = { 'x-api-key': KEY };
  const counted = await fetch(`${model.url}/v1/messages/count_tokens`, { method: 'POST', headers, body: '{"messages":[]}' });
  assert.deepEqual(await counted.json(), { input_tokens: 4 });
  assert.equal((await fetch(`${model.url}/v1/models`, { headers })).status, 200);
  assert.equal((await fetch(`${model.url}/api/hello`, { method: 'HEAD' })).status, 200);
  assert.equal((await fetch(`${model.url}/v1/nothing`, { method: 'POST', headers })).status, 404);
  assert.deepEqual(
    model
      .requests()
      .slice(-4)
      .map((request) => `${request.method} ${request.url}`),
    ['POST /v1/messages/count_tokens', 'GET /v1/models', 'HEAD /api/hello', 'POST /v1/nothing'],
  );
});

test('counts the openai stream only when asked to', async () => {
  const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'hi' }] });
  const response = await fetch(`${model.url}/v1/chat/completions`, { method: 'POST', headers: { authorization: `Bearer ${KEY}` }, body });
  assert.doesNotMatch(await response.text(), /"usage"/);
});
