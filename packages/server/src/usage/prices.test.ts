import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPlatformError } from '../base/errors.ts';
import { costOf, countedOrEstimated, worstCost } from '../core/model-cost.ts';
import { createPriceTable } from './prices.ts';
import { parsePrices } from './prices-file.ts';

const NOW = Date.parse('2026-11-01T00:00:00Z');
const tokens = (inputTokens: number, outputTokens: number, cacheReadTokens = 0, cacheCreationTokens = 0) => ({
  inputTokens,
  outputTokens,
  cacheReadTokens,
  cacheCreationTokens,
});

test('the row that says most about a model holds, the newest that has begun', () => {
  const table = createPriceTable();
  const version = (...args: Parameters<typeof table.find>) => table.find(...args).version;
  assert.equal(version('anthropic', 'claude-opus-4-5-20251101', NOW), 'anthropic/claude-opus-4-5*@2025-11-24');
  assert.equal(version('anthropic', 'claude-opus-4-1', NOW), 'anthropic/claude-opus-4*@2025-05-22');
  assert.equal(version('openai', 'gpt-5-mini-2025-08-07', NOW), 'openai/gpt-5-mini*@2025-08-07');
  assert.equal(version('deepseek', 'deepseek-chat', NOW), 'deepseek/deepseek-chat*@2025-09-29');
  assert.equal(version('deepseek', 'deepseek-chat', Date.parse('2025-01-01')), 'deepseek/deepseek-chat*@2024-12-26');
  for (const model of ['gemini-2.5-flash', 'gemini-2.5-flash-lite']) assert.match(version('google', model, NOW), new RegExp(`${model}\\*`));
  assert.equal(costOf(tokens(1_000_000, 1_000_000), table.find('demo', 'demo', NOW).prices), 0);
});

test('a model that nobody knows costs the fallback, and says so', () => {
  const table = createPriceTable({ fallback: { input: 7, output: 8, cacheRead: 9, cacheWrite: 10 }, prices: [] });
  for (const model of ['claude', null, 'my-own']) {
    const { isEstimated, version, prices } = table.find('anthropic', model, NOW);
    assert.deepEqual([isEstimated, version, prices.input], [true, 'fallback', 7]);
  }
  assert.ok(costOf(tokens(1, 0), createPriceTable().find('openai', 'new', NOW).prices) > 0);
});

test('what is used is rounded up, whole and exact', () => {
  const prices = { input: 3_000_000, output: 15_000_000, cacheRead: 300_000, cacheWrite: 3_750_000 };
  assert.equal(costOf(tokens(1000, 200, 10, 4), prices), 3000 + 3000 + 3 + 15);
  assert.equal(costOf(tokens(0, 0, 1), prices), 1);
  assert.equal(costOf(tokens(0, 0), prices), 0);
  assert.equal(costOf(tokens(900_000_000, 0), prices), 2_700_000_000);
  assert.equal(worstCost({ input: 1000, output: 100 }, prices), 3750 + 1500);
});

test('an answer without its counts is charged by its bytes', () => {
  const traffic = { requestBytes: 400, answerBytes: 3200, isStream: true, isCounted: false };
  assert.deepEqual(countedOrEstimated(tokens(0, 0), traffic), { usage: tokens(100, 100), isEstimated: true });
  assert.deepEqual(countedOrEstimated(tokens(7, 200, 1), traffic), { usage: tokens(7, 200, 1), isEstimated: true });
  assert.deepEqual(countedOrEstimated(tokens(7, 2), { ...traffic, isCounted: true }), { usage: tokens(7, 2), isEstimated: false });
  assert.deepEqual(countedOrEstimated(tokens(0, 0), { ...traffic, answerBytes: 0 }), { usage: tokens(0, 0), isEstimated: false });
});

test("the operator's file adds and overrides, in JSON and in YAML", () => {
  const yaml = `
currency: EUR
fallback: { input: 1, output: 2 }
prices:
  - provider: anthropic
    model: claude-sonnet-*
    valid_from: 2026-01-01
    input: 2.5
    output: 12.5
    cache_read: 0.25
    cache_write: 3.125
`;
  const row = { provider: 'openai-compatible', model: 'llama', valid_from: '2026-01-01', input: 0, output: 0.000001 };
  const table = createPriceTable(parsePrices(yaml));
  assert.deepEqual([table.currency, table.fallback.cacheWrite], ['EUR', 1_000_000]);
  assert.equal(table.find('anthropic', 'claude-sonnet-4-5', NOW).prices.cacheWrite, 3_125_000);
  assert.equal(table.find('anthropic', 'claude-sonnet-4-5', Date.parse('2025-12-31')).prices.input, 3_000_000, 'before its day');
  assert.equal(createPriceTable(parsePrices(JSON.stringify({ prices: [row] }))).find('openai-compatible', 'llama', NOW).prices.output, 1);
  assert.deepEqual(parsePrices('').prices, []);
});

test('a file that cannot be used says where it is wrong', () => {
  const row = { provider: 'openai', model: 'x', valid_from: '2026-01-01', input: 1, output: 2 };
  const cases: readonly (readonly [unknown, RegExp])[] = [
    ['{', /neither JSON nor YAML/],
    ['[]', /the file: it is no object/],
    [{ price: [] }, /price: there is no such field/],
    [{ currency: 'dollars' }, /currency/],
    [{ prices: {} }, /prices: it is no list/],
    [{ prices: [{ ...row, provider: 'acme' }] }, /prices\[0\]\.provider: "acme" is none of/],
    [{ prices: [row, { ...row, input: -1 }] }, /prices\[1\]\.input: -1 is no price/],
    [{ prices: [{ ...row, output: '2' }] }, /prices\[0\]\.output: "2"/],
    [{ prices: [{ ...row, input: 0.0000001 }] }, /more than six decimals/],
    [{ prices: [{ ...row, valid_from: '2026-13-01' }] }, /valid_from: "2026-13-01" is no day/],
    [{ prices: [{ ...row, cached: 1 }] }, /prices\[0\]\.cached: there is no such field/],
    [{ fallback: { input: 1 } }, /fallback\.output: nothing is no price/],
  ];
  for (const [file, message] of cases) {
    const text = typeof file === 'string' ? file : JSON.stringify(file);
    assert.throws(
      () => parsePrices(text),
      (error) => isPlatformError(error, 'config_invalid') && message.test(error.detail),
      text,
    );
  }
});
