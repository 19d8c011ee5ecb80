import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rankOf } from './fair-order.ts';

const nothing = { isScheduled: false, lastRank: null, headRank: null, headWaitsMs: 0, servedRank: null, runningRank: null };

test('a turn takes its place by what waits already', () => {
  const table = [
    ['the first of all', nothing, 0],
    ["a tenant's first, however much of others waits", { headRank: 7 }, 7],
    ["a tenant's next, one round later", { headRank: 7, lastRank: 9 }, 10],
    ["a tenant's next, after the head has overtaken it", { headRank: 7, lastRank: 2 }, 7],
    ['the next of one that was just served, after the head', { headRank: 7, servedRank: 7 }, 8],
    ['the next of one that was served long ago, after the head', { headRank: 7, servedRank: 2 }, 7],
    ['scheduled, before the head', { isScheduled: true, headRank: 7 }, 6.75],
    ['scheduled, four to a round', { isScheduled: true, headRank: 7, lastRank: 7.5 }, 7.75],
    ['scheduled, not before a head that has waited for long', { isScheduled: true, headRank: 7, headWaitsMs: 60_000 }, 7],
    ['scheduled, with nothing else there', { isScheduled: true }, 0],
  ] as const;
  for (const [what, queue, rank] of table) assert.equal(rankOf({ ...nothing, ...queue }), rank, what);
});
