import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuntimeDriver } from '../runtime/driver.ts';
import { createClockCheck, createImageCheck, createLeaseCheck } from './health-checks.ts';

test('an image that is missing is told of until it is there, and then looked for rarely', async () => {
  const answers: (boolean | Error)[] = [new Error('no engine'), false, true, false];
  const driver = {
    name: 'docker',
    capabilities: { usesImages: true },
    async hasImage() {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer === true;
    },
  } as unknown as RuntimeDriver; // The rest is not asked for.
  const check = createImageCheck(driver, 'some-image');
  const statuses: string[] = [];
  for (let round = 0; round < 15; round++) statuses.push((await check()).status);
  assert.deepEqual(statuses, ['degraded', 'degraded', ...Array.from({ length: 12 }, () => 'healthy'), 'degraded']);
});

test('a clock that was set is told of for a while', async () => {
  const time = { wall: 1_000_000, monotonic: 0 };
  const clock = { now: () => time.wall, monotonic: () => time.monotonic, after: () => () => undefined, every: () => () => undefined };
  const check = createClockCheck(clock);
  const pass = (ms: number, jump = 0) => {
    time.monotonic += ms;
    time.wall += ms + jump;
    return check();
  };
  assert.equal((await pass(5000)).status, 'healthy');
  const jumped = await pass(5000, -60_000);
  assert.deepEqual([jumped.status, jumped.detail.includes('back by 60 s')], ['degraded', true]);
  assert.equal((await pass(60_000)).status, 'degraded');
  assert.equal((await pass(300_000)).status, 'healthy');
});

test('leases that have run out are told of', async () => {
  let age: number | undefined;
  const check = createLeaseCheck({ leaseMs: 30_000, ageMs: () => age });
  assert.equal((await check()).status, 'healthy');
  age = 10_000;
  assert.equal((await check()).status, 'healthy');
  age = 31_000;
  assert.equal((await check()).status, 'degraded');
});
