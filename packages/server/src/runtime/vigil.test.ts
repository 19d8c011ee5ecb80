import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createManualClock } from '../../test/support/manual-clock.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { PlatformError } from '../base/errors.ts';
import { silentLogger } from '../base/log.ts';
import { createBench } from './conformance/bench.ts';
import type { ExitReport, RuntimeDriver } from './driver.ts';
import { conformancePrograms, fakeCommand } from './fake/conformance-programs.ts';
import { createFakeDriver } from './fake/driver.ts';
import { createFakeEngine } from './fake/engine.ts';
import { createVigil } from './vigil.ts';

const MS = 20_000;

/** One sandbox on the fake engine that somebody counts on. */
async function setup(change: (driver: RuntimeDriver) => Partial<RuntimeDriver> = () => ({})) {
  const clock = createManualClock();
  const sound = createFakeDriver({ engine: createFakeEngine(clock), programs: conformancePrograms });
  const driver = { ...sound, ...change(sound) };
  const bench = createBench({ name: 'fake', createDriver: () => sound, command: fakeCommand });
  const { ref } = await bench.launch(bench.spec({ name: 'hang' }));
  const lost: ExitReport[] = [];
  const wanted = { ref, isAwake: true, lose: (report: ExitReport) => void lost.push(report) };
  let isWanted = true;
  const vigil = createVigil({ driver, clock, log: silentLogger, desired: () => (isWanted ? [wanted] : []) });
  /** Lets the time run that the vigil waits. */
  const settled = async (work: Promise<void>): Promise<void> => {
    let isDone = false;
    void work.then(() => {
      isDone = true;
    });
    await waitFor(
      () => {
        clock.advance(100);
        return isDone;
      },
      { timeoutMs: MS, what: 'the vigil' },
    );
  };
  return {
    vigil,
    wanted,
    ref,
    driver: sound,
    lost,
    settled,
    giveUp: () => {
      isWanted = false;
    },
    state: async () => (await sound.inspect(ref))?.state,
    compare: async () => settled(vigil.compare(isWanted ? [wanted] : [], await sound.list({ installation: bench.installation }))),
    [Symbol.asyncDispose]: () => bench.close(),
  };
}

test('one that somebody paused is resumed, by the word of it and by the listing', async () => {
  await using part = await setup();
  await part.driver.sleep?.pause(part.ref);
  await part.settled(part.vigil.paused(part.ref));
  assert.equal(await part.state(), 'running');
  await part.driver.sleep?.pause(part.ref);
  await part.compare();
  assert.equal(await part.state(), 'running');
  assert.deepEqual(part.vigil.counts(), { resumed: 2, lost: 0 });
});

test('one that its owner lets sleep, or does not count on any more, stays as it is', async () => {
  await using part = await setup();
  await part.driver.sleep?.pause(part.ref);
  part.wanted.isAwake = false;
  await part.compare();
  part.wanted.isAwake = true;
  part.giveUp();
  await part.settled(part.vigil.paused(part.ref));
  assert.equal(await part.state(), 'paused');
});

test('one that cannot be resumed is told to be lost', async () => {
  const refuse = async () => Promise.reject(new PlatformError('runtime_unreachable'));
  await using part = await setup(({ sleep }) => (sleep === undefined ? {} : { sleep: { ...sleep, resume: refuse } }));
  await part.driver.sleep?.pause(part.ref);
  await part.settled(part.vigil.paused(part.ref));
  assert.deepEqual(part.lost, [{ exitCode: null, signal: null, isOutOfMemory: false, outside: 'paused' }]);
});

test('one that is gone is lost on the second look, and not when its end came in between', async () => {
  await using part = await setup();
  await part.driver.remove(part.ref);
  await part.compare();
  assert.deepEqual(part.lost, []);
  await part.compare();
  assert.deepEqual(
    part.lost.map(({ outside }) => outside),
    ['removed'],
  );
  part.giveUp();
  await part.compare();
  assert.equal(part.vigil.counts().lost, 1);
});
