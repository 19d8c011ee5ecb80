import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createManualClock } from '../../test/support/manual-clock.ts';
import { createTokenBuckets } from './token-buckets.ts';

const taken = (buckets: { take(key: string): { isTaken: boolean } }, times: number, key = 'a') =>
  Array.from({ length: times }, () => buckets.take(key)).filter(({ isTaken }) => isTaken).length;

test('a bucket begins full, empties, and fills up steadily but never over', () => {
  const clock = createManualClock();
  const buckets = createTokenBuckets({ perSecond: 10, burst: 20, maxKeys: 100, clock });
  assert.equal(taken(buckets, 30), 20);
  clock.advance(99);
  assert.deepEqual(buckets.take('a'), { isTaken: false, left: 0, waitMs: 1 });
  clock.advance(1);
  assert.deepEqual(buckets.take('a'), { isTaken: true, left: 0, waitMs: 100 });
  clock.advance(1000);
  assert.equal(taken(buckets, 30), 10);
  clock.advance(3_600_000);
  assert.equal(taken(buckets, 30), 20);
});

test('keys do not take from each other, and what was taken for nothing is put back', () => {
  const buckets = createTokenBuckets({ perSecond: 1, burst: 2, maxKeys: 100, clock: createManualClock() });
  assert.equal(taken(buckets, 3, 'a'), 2);
  assert.deepEqual(buckets.take('b'), { isTaken: true, left: 1, waitMs: 0 });
  buckets.giveBack('a');
  assert.equal(taken(buckets, 3, 'a'), 1);
  buckets.giveBack('b');
  buckets.giveBack('b');
  assert.equal(taken(buckets, 3, 'b'), 2, 'never more than the burst');
});

test('memory is bounded: the keys that were used longest ago go', () => {
  const buckets = createTokenBuckets({ perSecond: 1, burst: 1, maxKeys: 1000, clock: createManualClock() });
  assert.equal(taken(buckets, 1, 'first'), 1);
  for (let index = 0; index < 100_000; index++) {
    buckets.take(`k${index}`);
    if (index % 500 === 0) assert.equal(taken(buckets, 1, 'first'), 0, 'what is in use stays');
  }
  assert.equal(buckets.size(), 1000);
});
