import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { delay, systemClock } from '../../base/clock.ts';
import type { SleepPower } from '../driver.ts';
import { collect, type Law, waitFor, waitForText } from './bench.ts';
import { isProblem } from './lifecycle.ts';
import { EMIT_PATTERN } from './scenarios.ts';

/** Long enough for a program that is not held after all to give itself away. */
const STILL_MS = 150;

/** For drivers that can put a sandbox to sleep. */
export function sleepLaws(law: Law, power: SleepPower): void {
  stillnessLaws(law, power);
  refusalLaws(law, power);
}

function stillnessLaws(law: Law, { pause, resume, reclaim, memory }: SleepPower): void {
  law('a paused sandbox shows as paused, and as running once it is resumed', async ({ driver, spec, launch, list }) => {
    const { ref } = await launch(spec({ name: 'hang' }));
    await pause(ref);
    assert.equal((await driver.inspect(ref))?.state, 'paused');
    assert.deepEqual(
      (await list()).map(({ state }) => state),
      ['paused'],
    );
    await pause(ref);
    await resume(ref);
    assert.equal((await driver.inspect(ref))?.state, 'running');
    await resume(ref);
  });
  law('a paused sandbox does nothing, and goes on without a byte lost', async ({ spec, launch }) => {
    const { ref, io } = await launch(spec({ name: 'cat' }));
    io.stdin.write('before\n');
    await waitForText(io.stdout, 'before\n');
    await pause(ref);
    const input = Buffer.alloc(1024 * 1024, EMIT_PATTERN);
    const output = collect(io.stdout);
    let isEarly = false;
    io.stdout.once('data', () => {
      isEarly = true;
    });
    io.stdin.end(input);
    await delay(systemClock, STILL_MS);
    assert.equal(isEarly, false, 'nothing comes out of it');
    await reclaim(ref);
    await resume(ref);
    const seen = await output;
    assert.equal(seen.length, input.length);
    assert.equal(sha256(seen), sha256(input));
    assert.equal((await io.exited).exitCode, 0);
  });
  law('stop and remove work on the paused', async ({ driver, spec, launch, list }) => {
    const first = await launch(spec({ name: 'hang' }));
    await pause(first.ref);
    await driver.stop(first.ref, { graceMs: 1000 });
    assert.equal((await first.io.exited).exitCode, null);
    await waitFor(
      () => driver.inspect(first.ref),
      (seen) => seen?.state === 'exited',
    );
    const second = await launch(spec({ name: 'stubborn' }));
    await pause(second.ref);
    await driver.remove(second.ref);
    assert.equal((await second.io.exited).signal, 'SIGKILL');
    await driver.remove(first.ref);
    assert.equal((await list()).length, 0);
  });
  law('reclaiming leaves the paused as it is, and what it gives back is a number where the host can', async ({ driver, spec, launch }) => {
    const { ref } = await launch(spec({ name: 'hang' }));
    await pause(ref);
    const before = await memory(ref);
    const given = await reclaim(ref);
    assert.ok(given === undefined || given >= 0);
    assert.ok(before === undefined || before > 0);
    assert.equal((await driver.inspect(ref))?.state, 'paused');
  });
}

function refusalLaws(law: Law, { pause, resume, reclaim, memory }: SleepPower): void {
  law('what does not run cannot be paused, resumed or reclaimed', async ({ driver, spec }) => {
    const ref = await driver.create(spec({ name: 'hang' }));
    for (const call of [pause, resume, reclaim, memory]) await assert.rejects(call(ref), isProblem('sandbox_exited'));
    assert.equal((await driver.inspect(ref))?.state, 'created');
    await driver.remove(ref);
    for (const call of [pause, resume, reclaim, memory]) await assert.rejects(call(ref), isProblem('sandbox_exited'));
  });
  law('exec in the paused is refused', async ({ driver, spec, launch, command }) => {
    const { ref } = await launch(spec({ name: 'hang' }));
    await pause(ref);
    await assert.rejects(driver.exec(ref, { argv: command({ name: 'hello' }) }), isProblem('sandbox_exited'));
    await resume(ref);
    const hello = await driver.exec(ref, { argv: command({ name: 'hello' }) });
    hello.stderr.resume();
    assert.equal((await collect(hello.stdout)).toString(), 'hello\n');
  });
  law('an aborted signal changes nothing', async ({ driver, spec, launch }) => {
    const reason = new Error('given up');
    const signal = AbortSignal.abort(reason);
    const { ref } = await launch(spec({ name: 'hang' }));
    for (const call of [pause, resume, reclaim, memory]) await assert.rejects(call(ref, { signal }), reason);
    assert.equal((await driver.inspect(ref))?.state, 'running');
  });
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
