import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeter, type Meter } from './meter.ts';
import { createModelNameScanner } from './model-name.ts';
import { anthropicWire } from './wires/anthropic.ts';
import { geminiWire } from './wires/gemini.ts';
import { openaiChatWire } from './wires/openai-chat.ts';
import { openaiResponsesWire } from './wires/openai-responses.ts';

const STREAM = [
  'event: message_start\r\ndata: {"type":"message_start","message":{"model":"claude-ü","usage":{"input_tokens":10,"cache_read_input_tokens":3,"output_tokens":1}}}\r\n\r\n',
  ': a comment\n\n',
  'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"größe"}}\n\n',
  'data: {"type":"message_delta",\ndata: "usage":{"output_tokens":42}}\n\n',
  'event: message_stop\ndata:{"type":"message_stop"}\n\n',
].join('');

function read(meter: Meter, bytes: Buffer, size: number): Meter {
  for (let offset = 0; offset < bytes.length; offset += size) meter.push(bytes.subarray(offset, offset + size));
  meter.end();
  return meter;
}

test('reads the same whatever pieces the bytes come in', () => {
  const bytes = Buffer.from(STREAM);
  for (let size = 1; size <= bytes.length; size++) {
    const meter = read(createMeter(anthropicWire, true), bytes, size);
    assert.deepEqual(meter.usage(), { inputTokens: 10, outputTokens: 42, cacheReadTokens: 3, cacheCreationTokens: 0 });
    assert.deepEqual([meter.model(), meter.isComplete(), meter.isFinal(), meter.failure()], ['claude-ü', true, true, undefined]);
  }
});

test('an event larger than it will hold passes unread and is held against nobody', () => {
  const meter = createMeter(anthropicWire, true);
  meter.push(Buffer.from('data: {"type":"content_block_delta","delta":{"text":"'));
  const piece = Buffer.alloc(1024 * 1024, 'x');
  const before = process.memoryUsage().heapUsed;
  for (let index = 0; index < 64; index++) meter.push(piece);
  assert.ok(process.memoryUsage().heapUsed - before < 48 * 1024 * 1024);
  meter.push(Buffer.from('"}}\n\ndata: {"type":"message_delta","usage":{"output_tokens":5}}\n\n'));
  meter.end();
  assert.deepEqual([meter.usage().outputTokens, meter.failure(), meter.isComplete()], [5, undefined, true]);
});

test('knows where another event may be put in', () => {
  const meter = createMeter(anthropicWire, true);
  const states = ['data: {"type":', '"ping"}\n', '\n'].map((part) => {
    meter.push(Buffer.from(part));
    return meter.isBetweenEvents();
  });
  assert.deepEqual(states, [false, false, true]);
});

test('counts that are no counts are left out', () => {
  const meter = read(
    createMeter(anthropicWire, false),
    Buffer.from('{"usage":{"input_tokens":-1,"output_tokens":"9","cache_read_input_tokens":1e999}}'),
    99,
  );
  assert.deepEqual(meter.usage(), { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheCreationTokens: 0 });
});

test('an answer that is not JSON is a failure of the provider', () => {
  for (const body of ['<html>', '', '"text"', '{']) {
    assert.equal(read(createMeter(openaiChatWire, false), Buffer.from(body), 99).failure()?.code, 'model_api_failed', body);
  }
});

test('a cached prompt is counted apart on every wire', () => {
  const deepseek = '{"usage":{"prompt_tokens":100,"completion_tokens":5,"prompt_cache_hit_tokens":60}}';
  assert.deepEqual(read(createMeter(openaiChatWire, false), Buffer.from(deepseek), 9).usage().inputTokens, 40);
  const gemini = '[{"usageMetadata":{"promptTokenCount":50,"cachedContentTokenCount":20,"candidatesTokenCount":3,"thoughtsTokenCount":4}}]';
  const { inputTokens, cacheReadTokens, outputTokens } = read(createMeter(geminiWire, false), Buffer.from(gemini), 9).usage();
  assert.deepEqual([inputTokens, cacheReadTokens, outputTokens], [30, 20, 7]);
});

test('a response that failed, or was blocked, is told apart from one that broke off', () => {
  const failed = 'data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"slow down"}}}\n\n';
  assert.equal(read(createMeter(openaiResponsesWire, true), Buffer.from(failed), 9).failure()?.code, 'model_rate_limited');
  const incomplete = 'data: {"type":"response.incomplete","response":{"usage":{"input_tokens":1,"output_tokens":2}}}\n\n';
  assert.equal(read(createMeter(openaiResponsesWire, true), Buffer.from(incomplete), 9).isComplete(), true);
  const blocked = 'data: {"promptFeedback":{"blockReason":"SAFETY"}}\n\n';
  assert.equal(read(createMeter(geminiWire, true), Buffer.from(blocked), 9).isComplete(), true);
});

test('finds the name of the model wherever it stands, and only on top', () => {
  const bodies: readonly (readonly [string, string | undefined])[] = [
    ['{"model":"a-1"}', 'a-1'],
    ['{ "x" : [ {"model":"no"}, "model" ], "y":"\\"model\\":\\"no\\"", "model" : "b/2" }', 'b/2'],
    ['{"messages":[{"model":"no"}]}', undefined],
    ['["model","no"]', undefined],
    ['{"model":5,"z":"model"}', undefined],
    ['not json', undefined],
  ];
  for (const [body, expected] of bodies) {
    for (const size of [1, 3, 1_000]) {
      const found: string[] = [];
      const scan = createModelNameScanner((name) => found.push(name));
      const bytes = Buffer.from(body);
      for (let offset = 0; offset < bytes.length; offset += size) scan(bytes.subarray(offset, offset + size));
      assert.deepEqual(found, expected === undefined ? [] : [expected], body);
    }
  }
});
