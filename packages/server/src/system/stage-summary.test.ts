import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStageLog } from '../sandboxes/stages.ts';
import { createStageSummary } from './stage-summary.ts';

test('the medians of late, of the stages that were gone through', () => {
  const log = createStageLog();
  const summary = createStageSummary(log);
  assert.deepEqual(summary(), {});
  for (const ms of [30, 10, 20]) log.observe('start', ms);
  log.observe('queue', 4);
  assert.deepEqual(summary(), { queue: { count: 1, p50_ms: 4 }, start: { count: 3, p50_ms: 20 } });
  for (let n = 0; n < 1000; n++) log.observe('start', 100);
  assert.deepEqual(summary().start, { count: 256, p50_ms: 100 }, 'what was long ago is forgotten');
});
