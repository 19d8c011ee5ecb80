import assert from 'node:assert/strict';
import { after, afterEach, describe, type TestContext, test } from 'node:test';
import { delay, systemClock } from '../base/clock.ts';
import { type Bench, type ConformanceOptions, createBench, type Law } from './conformance/bench.ts';
import { execLaws, exitLaws, streamLaws } from './conformance/io.ts';
import { limitLaws, wallLaws } from './conformance/isolation.ts';
import { countingSkips, KNOWN_SKIPS } from './conformance/known-skips.ts';
import { abortLaws, creationLaws, endingLaws, ownershipLaws } from './conformance/lifecycle.ts';
import { sleepLaws } from './conformance/sleep.ts';

export type { ConformanceOptions } from './conformance/bench.ts';
export { KNOWN_SKIPS, type SkipList } from './conformance/known-skips.ts';
export { posixCommand, type Scenario } from './conformance/scenarios.ts';

const LAW_TIMEOUT_MS = 60_000;

/**
 * The laws that every runtime driver keeps. A driver's test calls this once. What a driver cannot keep stands
 * with its reason in `conformance/known-skips.ts`, and shows in the output.
 */
export function runtimeConformance(options: ConformanceOptions): void {
  describe(`runtime driver: ${options.name}`, () => {
    const bench = createBench(options);
    const timeout = options.lawTimeoutMs ?? LAW_TIMEOUT_MS;
    const listed = options.skips ?? KNOWN_SKIPS[options.name] ?? {};
    const skips = countingSkips(listed, bench.driver.capabilities);
    const titles = new Set<string>();
    const law: Law = (title, run) => {
      titles.add(title);
      if (options.only?.(title) === false) return;
      const skip = skips.get(title);
      test(title, { timeout }, (context) => {
        if (skip === undefined) return run(bench);
        if (skip.isFickle) return context.skip(skip.reason);
        return expectFailure(context, { run, bench, reason: skip.reason, timeout });
      });
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
    wallLaws(law);
    limitLaws(law);
    if (bench.driver.sleep !== undefined) sleepLaws(law, bench.driver.sleep);
    test('every law on the list of known skips exists', () => {
      for (const title of Object.keys(listed)) assert.ok(titles.has(title), title);
    });
  });
}

interface ListedLaw {
  readonly run: (bench: Bench) => Promise<void>;
  readonly bench: Bench;
  readonly reason: string;
  readonly timeout: number;
}

/** A listed law that the driver keeps after all must leave the list, so that the list says what is so. */
async function expectFailure(context: TestContext, { run, bench, reason, timeout }: ListedLaw): Promise<void> {
  const giveUp = new AbortController();
  const outcome = await Promise.race([
    run(bench).then(
      () => 'kept',
      () => 'broken',
    ),
    delay(systemClock, timeout / 2, giveUp.signal).then(
      () => 'hangs',
      () => 'decided',
    ),
  ]);
  giveUp.abort();
  assert.notEqual(outcome, 'kept', `the law is kept, yet listed as not: "${reason}". Take it off known-skips.ts`);
  context.skip(reason);
}
