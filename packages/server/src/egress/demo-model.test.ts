import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, openBench, waitFor } from '../../test/support/egress-bench.ts';
import { demoAnswer } from './demo-model.ts';

const TOOLS = ['bash', 'write', 'read'].map((name) => ({ type: 'function', function: { name } }));
const user = (content: string) => ({ role: 'user', content });
const tool = (content: string) => ({ role: 'tool', tool_call_id: 'x', content });
const body = (...messages: readonly unknown[]) => ({ model: 'demo', tools: TOOLS, messages });

const CALLS: readonly (readonly [string, string, Record<string, string>])[] = [
  ['run uname -a', 'bash', { command: 'uname -a' }],
  ['Please run `ls -l | wc`', 'bash', { command: 'ls -l | wc' }],
  ['write notes.txt: hello', 'write', { file_path: 'notes.txt', content: 'hello' }],
  ['write a.txt: one\ntwo', 'write', { file_path: 'a.txt', content: 'one\ntwo' }],
  ['Read notes.txt', 'read', { file_path: 'notes.txt' }],
  ['run echo now then later', 'bash', { command: 'echo now then later' }],
];

for (const [said, name, input] of CALLS) {
  test(`"${said}" calls ${name}`, () => assert.deepEqual(demoAnswer(body(user(said))).toolCall, { name, input }));
}

test('several steps run one after another, then the results are quoted', () => {
  const said = user('write notes.txt: hi then run cat notes.txt\nread notes.txt');
  const names = [[], [tool('written')], [tool('written'), tool('hi')]].map((results) => demoAnswer(body(said, ...results)).toolCall?.name);
  assert.deepEqual(names, ['write', 'bash', 'read']);
  const { text, toolCall } = demoAnswer(body(said, tool('written'), tool('out-1'), tool('out-2')));
  assert.equal(toolCall, undefined);
  assert.match(text, /^\[demo\] [\s\S]*`bash cat notes\.txt` answered:\nout-1[\s\S]*out-2/);
});

test('anything else is explained, with what it remembers and how to set a key', () => {
  const { text } = demoAnswer(body(user('I am Ada'), { role: 'assistant', content: '[demo] hello' }, user('who am I?')));
  assert.match(text, /^\[demo\] You said: "who am I\?"/);
  assert.match(text, /message number 2 .* began with: "I am Ada".* 3 messages/);
  assert.match(text, /ANTHROPIC_API_KEY=… npm start/);
});

test('a tool the agent does not have is not called', () => {
  const { text, toolCall } = demoAnswer({ messages: [user('run ls')], tools: [] });
  assert.equal(toolCall, undefined);
  assert.match(text, /^\[demo\] .*"bash"/);
});

test('is served as Chat Completions, streamed, counted, without any provider', async () => {
  await using bench = await openBench({ providers: new Map() });
  const path = '/demo/v1/chat/completions';
  const reply = await ask(bench.socketPath, {
    path,
    body: { ...body(user('hello')), stream: true, stream_options: { include_usage: true } },
  });
  const raw = await reply.text();
  const pieces = [...raw.matchAll(/^data: (\{.*)$/gm)].map((match) => JSON.parse(match[1] ?? ''));
  assert.match(pieces.map((piece) => piece.choices[0]?.delta.content ?? '').join(''), /^\[demo\] You said: "hello"/);
  assert.ok(pieces.length > 10);
  assert.ok(pieces.at(-1).usage.prompt_tokens > 0);
  assert.match(raw, /data: \[DONE\]\n\n$/);
  const end = bench.onlyEnd();
  assert.deepEqual([end.provider, end.model, end.failure, end.usage.outputTokens > 0], ['demo', 'demo', undefined, true]);
  const called = await ask(bench.socketPath, { path, body: { ...body(user('run ls')), stream: false } });
  assert.match(await called.text(), /"tool_calls":\[\{.*"finish_reason":"tool_calls"/);
  assert.equal((await ask(bench.socketPath, { path, body: 'no conversation' })).status, 400);
});

test('stops when the client hangs up', async () => {
  await using bench = await openBench();
  const reply = await ask(bench.socketPath, { path: '/demo/v1/chat/completions', body: { ...body(user('hello')), stream: true } });
  reply.hangUp();
  await waitFor('the end', () => bench.ends.length === 1);
  assert.equal(bench.onlyEnd().failure, 'aborted');
});
