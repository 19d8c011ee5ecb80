import assert from 'node:assert/strict';
import { after, afterEach, describe, test } from 'node:test';
import { type ConformanceOptions, createBench, type Law } from './conformance/bench.ts';
import { execLaws, exitLaws, streamLaws } from './conformance/io.ts';
import { limitLaws, wallLaws } from './conformance/isolation.ts';
import { abortLaws, creationLaws, endingLaws, ownershipLaws } from './conformance/lifecycle.ts';

export type { ConformanceOptions } from './conformance/bench.ts';
export { posixCommand, type Scenario } from './conformance/scenarios.ts';

const LAW_TIMEOUT_MS = 60_000;

/**
 * The laws that every runtime driver keeps. A driver's test calls this once; what it must leave out is named
 * with a reason, and shows in the output.
 */
export function runtimeConformance(options: ConformanceOptions): void {
  describe(`runtime driver: ${options.name}`, () => {
    const bench = createBench(options);
    const titles = new Set<string>();
    const skipReason = (title: string) => options.skip?.find(({ tests }) => tests.includes(title))?.reason;
    const law: Law = (title, run) => {
      titles.add(title);
      test(title, { skip: skipReason(title) ?? false, timeout: options.lawTimeoutMs ?? LAW_TIMEOUT_MS }, () => run(bench));
    };
    afterEach(() => bench.cleanUp());
    after(async () => {
      const left = await bench.list();
      await bench.close();
      assert.deepEqual(left, [], 'no sandbox is left behind');
    });

    creationLaws(law);
    endingLaws(law);
    ownershipLaws(law);
    abortLaws(law);
    streamLaws(law);
    exitLaws(law);
    execLaws(law);
    // Walls and limits are for those that say they have them; a driver that has none says so in the status.
    if (bench.driver.capabilities.isIsolated) wallLaws(law);
    if (bench.driver.capabilities.supportsLimits) limitLaws(law);
    test('every left-out law exists', () => {
      for (const title of options.skip?.flatMap(({ tests }) => tests) ?? []) assert.ok(titles.has(title), title);
    });
  });
}
