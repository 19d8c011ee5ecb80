import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MAX_ATTEMPTS, waitAfter } from './retry-schedule.ts';

const HOUR = 3_600_000;

it('waits longer and longer, over three days in all, and then no more', () => {
  const waits = Array.from({ length: MAX_ATTEMPTS }, (_, index) => waitAfter(index + 1, { id: 'dlv_1' }));
  assert.equal(waits.pop(), undefined);
  const expected = [5_000, 300_000, 0.5 * HOUR, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
  assert.equal(waits.length, expected.length);
  for (const [index, base] of expected.entries()) {
    const wait = waits[index] ?? 0;
    assert.ok(wait >= base && wait <= base * 1.1, `${index}: ${wait}`);
  }
});

it('spreads those that failed together, each always the same way', () => {
  const wait = (id: string) => waitAfter(2, { id });
  assert.equal(wait('dlv_1'), wait('dlv_1'));
  assert.ok(new Set(Array.from({ length: 100 }, (_, index) => wait(`dlv_${index}`))).size > 95);
});

it('is as patient as the receiver asks for, within bounds', () => {
  const wait = (retryAfterMs: number) => waitAfter(1, { id: 'dlv_1', retryAfterMs });
  assert.equal(wait(60_000), 60_000);
  assert.equal(wait(1), waitAfter(1, { id: 'dlv_1' }));
  assert.equal(wait(1000 * HOUR), 24 * HOUR);
});
