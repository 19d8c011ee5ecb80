import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import { silentLogger } from '../base/log.ts';
import { createBench, waitFor } from './conformance/bench.ts';
import { posixCommand } from './conformance/scenarios.ts';
import { createDockerDriver } from './docker/driver.ts';
import { testEngine } from './docker/test-engine.ts';
import type { RuntimeDriver } from './driver.ts';
import { conformancePrograms, fakeCommand } from './fake/conformance-programs.ts';
import { createFakeDriver } from './fake/driver.ts';
import { createFakeEngine } from './fake/engine.ts';
import { createReconciler, type Reconciler } from './reconciler.ts';
import type { Residue } from './upkeep.ts';

/** A clock whose hands are moved by the test. */
function handClock(): Clock & { forward(ms: number): void; tick(): void; repeats(): number } {
  let offset = 0;
  const repeated = new Set<() => void>();
  return {
    ...systemClock,
    now: () => systemClock.now() + offset,
    every(_ms, run) {
      repeated.add(run);
      return () => repeated.delete(run);
    },
    forward(ms) {
      offset += ms;
    },
    tick() {
      for (const run of repeated) run();
    },
    repeats: () => repeated.size,
  };
}

function setup(change: (driver: RuntimeDriver) => Partial<RuntimeDriver> = () => ({}), residues: readonly Residue[] = []) {
  const clock = handClock();
  const engine = createFakeEngine(clock);
  const sound = createFakeDriver({ engine, programs: conformancePrograms });
  const driver = { ...sound, ...change(sound) };
  const bench = createBench({ name: 'fake', createDriver: () => driver, command: fakeCommand });
  const owned = new Set<string>();
  const reconciler = createReconciler({
    driver,
    installation: bench.installation,
    clock,
    log: silentLogger,
    isOwned: ({ ref }) => owned.has(ref.sandbox),
    residues,
  });
  const make = () => sound.create(bench.spec({ name: 'hang' }));
  const left = async () => (await sound.list({ installation: bench.installation })).map(({ ref }) => ref.sandbox);
  return { clock, driver, bench, owned, reconciler, make, left, [Symbol.asyncDispose]: () => finish(reconciler, bench) };
}

async function finish(reconciler: Reconciler, bench: { close(): Promise<void> }): Promise<void> {
  await reconciler.stop();
  await bench.close();
}

test('what a crashed server left is gone when the start returns; what is owned stays', async () => {
  await using part = setup();
  const kept = await part.make();
  part.owned.add(kept.sandbox);
  await part.make();
  await part.make();
  await part.reconciler.start();
  assert.deepEqual(await part.left(), [kept.sandbox]);
  assert.equal(part.reconciler.report().kinds.get('sandboxes')?.removed, 2);
});

test('a sandbox that its owner does not know of yet has its grace', async () => {
  await using part = setup();
  await part.reconciler.start();
  const young = await part.make();
  await part.reconciler.sweep();
  assert.deepEqual(await part.left(), [young.sandbox]);
  part.clock.forward(16_000);
  part.clock.tick();
  await waitFor(part.left, (sandboxes) => sandboxes.length === 0);
});

test('an end is noticed without waiting for the interval', async () => {
  await using part = setup();
  await part.reconciler.start();
  const { ref } = await part.bench.launch(part.bench.spec({ name: 'hang' }));
  part.clock.forward(16_000);
  await part.driver.stop(ref, { graceMs: 1000 });
  await waitFor(part.left, (sandboxes) => sandboxes.length === 0);
});

test('a removal that removes nothing counts as a failure and is tried again', async () => {
  let lies = 1;
  await using part = setup((driver) => ({ remove: async (ref) => (lies-- > 0 ? undefined : driver.remove(ref)) }));
  await part.make();
  await part.reconciler.start();
  assert.deepEqual(part.reconciler.report().kinds.get('sandboxes'), { removed: 0, failures: 1 });
  part.clock.forward(16_000);
  await part.reconciler.sweep();
  assert.deepEqual(await part.left(), []);
});

test('an engine that does not answer is counted and does not stop the start', async () => {
  let isDown = true;
  await using part = setup((driver) => ({
    list: (owner, call) => (isDown ? Promise.reject(new Error('engine down')) : driver.list(owner, call)),
  }));
  await part.make();
  part.clock.forward(2000);
  await part.reconciler.start();
  assert.equal(part.reconciler.report().kinds.get('sandboxes')?.failures, 1);
  isDown = false;
  await part.reconciler.sweep();
  part.clock.tick();
  // Older than this server, so there is no grace although the first sweep saw nothing.
  await waitFor(part.left, (sandboxes) => sandboxes.length === 0);
});

test('what else is left goes after the sandboxes that used it, and one kind that fails holds up no other', async () => {
  const mounts = new Set<string>();
  const broken: Residue = { name: 'broken', list: () => Promise.reject(new Error('not to be listed')), remove: async () => undefined };
  const residue: Residue = {
    name: 'mounts',
    list: async ({ inUse, isOld }) => [...mounts].filter((id) => !inUse.has(id) && isOld(0)).map((id) => ({ id })),
    remove: async ({ id }) => void mounts.delete(id),
  };
  await using part = setup(undefined, [broken, residue]);
  const [kept, lost] = [await part.make(), await part.make()];
  part.owned.add(kept.sandbox);
  for (const { sandbox } of [kept, lost]) mounts.add(sandbox);
  await part.reconciler.start();
  assert.deepEqual([...mounts], [kept.sandbox]);
  const { kinds } = part.reconciler.report();
  assert.deepEqual(kinds.get('mounts'), { removed: 1, failures: 0 });
  assert.deepEqual(kinds.get('broken'), { removed: 0, failures: 1 });
});

test('starting and stopping twice is fine, and nothing runs after the stop', async () => {
  await using part = setup();
  await part.reconciler.stop();
  await Promise.all([part.reconciler.start(), part.reconciler.start()]);
  await part.reconciler.stop();
  await part.reconciler.stop();
  assert.equal(part.clock.repeats(), 0);
  const { ref, io } = await part.bench.launch(part.bench.spec({ name: 'hang' }));
  part.clock.forward(60_000);
  await part.driver.stop(ref, { graceMs: 1000 });
  await io.exited;
  assert.deepEqual(await part.left(), [ref.sandbox]);
});

const engine = await testEngine();

test('on a real engine, only unowned sandboxes of the own installation go', { skip: engine.ok ? false : engine.reason }, async () => {
  const image = engine.ok ? engine.image : '';
  const createDriver = () => createDockerDriver({ log: silentLogger });
  const options = { name: 'docker', createDriver, command: posixCommand, image };
  const [bench, foreign] = [createBench(options), createBench(options)];
  const reconciler = createReconciler({
    driver: bench.driver,
    installation: bench.installation,
    clock: systemClock,
    log: silentLogger,
    isOwned: ({ ref }) => ref.sandbox === owned.labels.sandbox,
  });
  const owned = bench.spec({ name: 'hang' });
  try {
    const kept = await bench.driver.create(owned);
    const other = await foreign.driver.create(foreign.spec({ name: 'hang' }));
    await bench.launch(bench.spec({ name: 'hang' }));
    await bench.driver.create({
      ...bench.spec({ name: 'hang' }),
      labels: { ...owned.labels, sandbox: newId('sandbox'), incarnation: newId('incarnation') },
    });
    await reconciler.start();
    assert.deepEqual(
      (await bench.list()).map(({ ref }) => ref),
      [kept],
    );
    assert.deepEqual(
      (await foreign.list()).map(({ ref }) => ref),
      [other],
    );
  } finally {
    await reconciler.stop();
    for (const each of [bench, foreign]) {
      await each.cleanUp();
      await each.close();
    }
  }
});
