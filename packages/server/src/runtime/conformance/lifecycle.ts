import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import type { ProblemCode } from '@cloister/api';
import { systemClock } from '../../base/clock.ts';
import { isPlatformError } from '../../base/errors.ts';
import type { ExitReport, RuntimeDriver, SandboxIo, SandboxRef } from '../driver.ts';
import { collect, type Law, sandboxLabels, waitFor, waitForText } from './bench.ts';

export const isProblem = (code: ProblemCode) => (error: unknown) => isPlatformError(error, code);

export function creationLaws(law: Law): void {
  law('the probe says that the engine is there', async ({ driver }) => {
    assert.equal((await driver.probe()).ok, true);
  });
  law('a created sandbox carries all its labels before it runs', async ({ driver, spec, list }) => {
    const wanted = spec({ name: 'hang' });
    const before = systemClock.now();
    const ref = await driver.create(wanted);
    const [seen, ...others] = await list();
    assert.equal(others.length, 0);
    assert.deepEqual(seen?.labels, wanted.labels);
    assert.deepEqual(seen?.ref, ref);
    assert.equal(seen?.state, 'created');
    assert.equal(seen?.exit, null);
    assert.ok(Math.abs((seen?.createdAt ?? 0) - before) < 5000, 'createdAt is about now');
    assert.equal(ref.sandbox, wanted.labels.sandbox);
    assert.equal(ref.incarnation, wanted.labels.incarnation);
  });
  law('creating the same again answers the same sandbox', async ({ driver, spec, list }) => {
    const wanted = spec({ name: 'hang' }, { env: { A: '1', B: '2' } });
    const first = await driver.create(wanted);
    assert.deepEqual(await driver.create({ ...wanted, env: { B: '2', A: '1' } }), first);
    assert.equal((await list()).length, 1);
  });
  law('creating another spec under the same incarnation is a conflict', async ({ driver, spec, list }) => {
    const wanted = spec({ name: 'hang' });
    const first = await driver.create(wanted);
    await assert.rejects(driver.create({ ...wanted, env: { CHANGED: 'yes' } }), isProblem('sandbox_conflict'));
    assert.deepEqual(
      (await list()).map(({ ref }) => ref),
      [first],
    );
  });
  law('root is refused', async ({ driver, spec, list }) => {
    await assert.rejects(driver.create(spec({ name: 'hang' }, { uid: 0 })), isProblem('bug'));
    await assert.rejects(driver.create(spec({ name: 'hang' }, { gid: 0 })), isProblem('bug'));
    assert.equal((await list()).length, 0);
  });
  law('a missing image is named as such and leaves nothing', async ({ driver, spec, list }) => {
    if (!driver.capabilities.usesImages) return assert.equal(await driver.hasImage('cloister-no-such-image:1'), true);
    assert.equal(await driver.hasImage('cloister-no-such-image:1'), false);
    await assert.rejects(driver.create(spec({ name: 'hang' }, { image: 'cloister-no-such-image:1' })), isProblem('image_missing'));
    assert.equal((await list()).length, 0);
  });
  law('a mount that is not there fails and leaves nothing', async ({ driver, spec, list, directory }) => {
    const hostPath = directory();
    const mounts = [{ hostPath, path: '/workspace', isReadOnly: false }];
    const ref = await driver.create(spec({ name: 'hang' }, { mounts }));
    rmSync(hostPath, { recursive: true });
    await assert.rejects(driver.start(ref), isProblem('sandbox_start_failed'));
    assert.equal((await list()).length, 0);
    await assert.rejects(driver.create(spec({ name: 'hang' }, { mounts })), isProblem('sandbox_start_failed'));
    assert.equal((await list()).length, 0);
  });
  law('starting what is not there fails', async ({ driver, spec }) => {
    const ref = await driver.create(spec({ name: 'hang' }));
    await driver.remove(ref);
    await assert.rejects(driver.start(ref), isProblem('sandbox_start_failed'));
  });
  law('a second start is a conflict and leaves the first alone', async ({ driver, spec, launch }) => {
    const { ref, io } = await launch(spec({ name: 'cat' }));
    await assert.rejects(driver.start(ref), isProblem('sandbox_conflict'));
    io.stdin.end('still here');
    assert.equal((await collect(io.stdout)).toString(), 'still here');
    await io.exited;
    await assert.rejects(driver.start(ref), isProblem('sandbox_conflict'));
  });
}

export function endingLaws(law: Law): void {
  law('stop ends a program with SIGTERM', async ({ driver, spec, launch }) => {
    const { ref, io } = await launch(spec({ name: 'cat' }));
    assert.equal((await driver.inspect(ref))?.state, 'running');
    await untilItRuns(io);
    await driver.stop(ref, { graceMs: 10_000 });
    const killed: ExitReport = { exitCode: null, signal: 'SIGTERM', isOutOfMemory: false };
    assert.deepEqual(await io.exited, killed);
    const seen = await waitFor(
      () => driver.inspect(ref),
      (value) => value?.state === 'exited',
    );
    assert.deepEqual(seen?.exit, killed);
  });
  law('stop kills a program that does not end in its grace, and not before', async ({ driver, spec, launch }) => {
    const { ref, io } = await launch(spec({ name: 'stubborn' }));
    await waitForText(io.stdout, 'ready');
    const begin = systemClock.monotonic();
    await driver.stop(ref, { graceMs: 1000 });
    assert.ok(systemClock.monotonic() - begin >= 950, 'it had its grace');
    assert.equal((await io.exited).signal, 'SIGKILL');
  });
  law('stopping the created, the stopped and the missing succeeds', async ({ driver, spec }) => {
    const ref = await driver.create(spec({ name: 'hang' }));
    await driver.stop(ref, { graceMs: 0 });
    await driver.start(ref);
    await driver.stop(ref, { graceMs: 0 });
    await driver.stop(ref, { graceMs: 0 });
    await driver.remove(ref);
    await driver.stop(ref, { graceMs: 0 });
  });
  law('remove kills what runs and leaves nothing', async ({ driver, spec, launch, list }) => {
    const { ref, io } = await launch(spec({ name: 'stubborn' }));
    await driver.remove(ref);
    assert.equal(await driver.inspect(ref), undefined);
    assert.equal((await list()).length, 0);
    assert.equal((await io.exited).signal, 'SIGKILL');
  });
  law('removing the created and the missing succeeds, also twice at once', async ({ driver, spec, list }) => {
    const ref = await driver.create(spec({ name: 'hang' }));
    await Promise.all([driver.remove(ref), driver.remove(ref)]);
    await driver.remove(ref);
    assert.equal((await list()).length, 0);
  });
}

/** A copier that has answered. An init that has not begun its program yet may miss a signal. */
async function untilItRuns({ stdin, stdout, stderr }: SandboxIo): Promise<void> {
  stderr.resume();
  stdin.write('ready');
  await waitForText(stdout, 'ready');
}

export function ownershipLaws(law: Law): void {
  law('another process sees, uses and removes what one made', async ({ driver, spec, launch, another, installation, command, list }) => {
    const { ref: made, io } = await launch(spec({ name: 'cat' }));
    await untilItRuns(io);
    const ref: SandboxRef = JSON.parse(JSON.stringify(made));
    const other = another();
    assert.deepEqual(
      (await other.list({ installation })).map((seen) => [seen.ref, seen.state]),
      [[ref, 'running']],
    );
    const process = await other.exec(ref, { argv: command({ name: 'hello' }) });
    assert.equal((await collect(process.stdout)).toString(), 'hello\n');
    await other.stop(ref, { graceMs: 5000 });
    assert.equal((await io.exited).signal, 'SIGTERM');
    await other.remove(ref);
    assert.equal(await driver.inspect(ref), undefined);
    assert.equal((await list()).length, 0);
  });
  law('two installations on one engine do not touch each other', async ({ driver, spec, list, installation }) => {
    const mine = spec({ name: 'hang' });
    const foreign = { ...mine, labels: { ...mine.labels, installation: `${installation}-2` } };
    const owner = { installation: foreign.labels.installation };
    const ref = await driver.create(mine);
    const other = await driver.create(foreign);
    try {
      assert.notEqual(ref.handle, other.handle);
      assert.deepEqual(
        (await list()).map((seen) => seen.ref.handle),
        [ref.handle],
      );
      assert.deepEqual(
        (await driver.list(owner)).map((seen) => seen.ref.handle),
        [other.handle],
      );
      await driver.remove(ref);
      assert.equal((await driver.list(owner)).length, 1);
      assert.equal((await driver.list({ installation: installation.slice(0, -1) })).length, 0, 'no matching by prefix');
    } finally {
      await driver.remove(other);
    }
  });
  law('watch tells how the sandboxes of the installation end, and of no other', async ({ driver, spec, run, installation }) => {
    const controller = new AbortController();
    const seen: { ref: SandboxRef; report: ExitReport }[] = [];
    const watching = driver.watch({ installation }, (exit) => seen.push(exit), { signal: controller.signal });
    const foreign = { ...spec({ name: 'exit', code: 1 }), labels: sandboxLabels(`${installation}-2`) };
    await run(foreign);
    for (const { ref } of await driver.list({ installation: `${installation}-2` })) await driver.remove(ref);
    const first = spec({ name: 'exit', code: 7 });
    const second = spec({ name: 'kill-self' });
    await run(first);
    await run(second);
    await waitFor(
      () => seen.length,
      (count) => count >= 2,
    );
    controller.abort();
    await watching;
    assert.deepEqual(
      seen.map(({ ref, report }) => [ref.incarnation, report.exitCode, report.signal]),
      [
        [first.labels.incarnation, 7, null],
        [second.labels.incarnation, null, 'SIGKILL'],
      ],
    );
  });
}

export function abortLaws(law: Law): void {
  const reason = new Error('given up');
  law('a call with an aborted signal rejects with its reason and does nothing', async ({ driver, spec, installation, list }) => {
    const signal = AbortSignal.abort(reason);
    const ref = await driver.create(spec({ name: 'hang' }));
    for (const call of callsOn(driver, ref, { installation, signal })) await assert.rejects(call(), reason);
    await assert.rejects(driver.create(spec({ name: 'hang' }), { signal }), reason);
    assert.deepEqual(
      (await list()).map((seen) => [seen.ref, seen.state]),
      [[ref, 'created']],
    );
  });
  for (const afterMs of [0, 5, 60]) {
    law(`an abort ${afterMs} ms into create or start leaves nothing`, async ({ driver, spec, list }) => {
      const during = async <T>(call: (signal: AbortSignal) => Promise<T>) => {
        const controller = new AbortController();
        const result = call(controller.signal).then(
          () => 'done',
          (error: unknown) => error,
        );
        if (afterMs === 0) controller.abort(reason);
        else systemClock.after(afterMs, () => controller.abort(reason));
        return result;
      };
      const nothingLeft = () => waitFor(list, (seen) => seen.length === 0);

      const created = await during((signal) => driver.create(spec({ name: 'hang' }), { signal }));
      if (created === 'done') for (const { ref } of await list()) await driver.remove(ref);
      else assert.equal(created, reason);
      await nothingLeft();

      const ref = await driver.create(spec({ name: 'hang' }));
      const started = await during((signal) => driver.start(ref, { signal }));
      if (started === 'done') await driver.remove(ref);
      else assert.equal(started, reason);
      await nothingLeft();
    });
  }
  law('an abort during the other calls changes nothing', async ({ driver, spec, launch, installation, list }) => {
    const { ref } = await launch(spec({ name: 'stubborn' }));
    const controller = new AbortController();
    const calls = callsOn(driver, ref, { installation, signal: controller.signal }).slice(1);
    const settled = Promise.allSettled(calls.filter((call) => call.name !== 'remove').map((call) => call()));
    controller.abort(reason);
    for (const result of await settled) if (result.status === 'rejected') assert.equal(result.reason, reason);
    await driver.remove(ref);
    assert.equal((await list()).length, 0);
  });
}

/** Every call that takes a ref or an owner; `start` first. */
function callsOn(driver: RuntimeDriver, ref: SandboxRef, options: { readonly installation: string; readonly signal: AbortSignal }) {
  const { installation, signal } = options;
  return [
    async function start(): Promise<unknown> {
      return driver.start(ref, { signal });
    },
    async function stop(): Promise<unknown> {
      return driver.stop(ref, { graceMs: 10, signal });
    },
    async function remove(): Promise<unknown> {
      return driver.remove(ref, { signal });
    },
    async function inspect(): Promise<unknown> {
      return driver.inspect(ref, { signal });
    },
    async function list(): Promise<unknown> {
      return driver.list({ installation }, { signal });
    },
    async function exec(): Promise<unknown> {
      return driver.exec(ref, { argv: ['true'] }, { signal });
    },
    async function logs(): Promise<unknown> {
      return driver.logs(ref, { signal });
    },
  ];
}
