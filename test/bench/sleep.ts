import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { silentLogger } from '../../packages/server/src/base/log.ts';
import { createDockerDriver } from '../../packages/server/src/runtime/docker/driver.ts';
import type { RuntimeDriver, SandboxIo, SandboxRef, SleepPower } from '../../packages/server/src/runtime/driver.ts';
import { sandboxImageTag } from '../../packages/server/src/runtime/image.ts';
import { type Bench, ms, type Row, skipped, summary, verdict } from './row.ts';
import { sandboxSpec } from './sandbox-spec.ts';

const RUNS = 12;
const HELD_MIB = 128;
/** Holds memory as an agent does, and answers each line. */
const PROGRAM = `const held = Buffer.alloc(${HELD_MIB} << 20, 1); process.stdin.on('data', () => console.log('x' + held[0])); console.log('up');`;

/** What a sandbox costs in each depth of its sleep, and how long it takes to answer again. */
export const sleepBench: Bench = {
  name: 'sleep',
  needsEngine: true,
  async run() {
    const driver = createDockerDriver({ log: silentLogger });
    const power = driver.sleep;
    if (power === undefined) return [skipped('wake of a sandbox', 'the runtime cannot pause')];
    const ref = await driver.create(sandboxSpec({ image: sandboxImageTag('default'), argv: ['node', '-e', PROGRAM] }));
    try {
      const io = await driver.start(ref);
      io.stderr.resume();
      await once(io.stdout, 'data');
      const rows = await measure(power, ref, io);
      return [...rows, await measureStopped(driver)];
    } finally {
      await driver.remove(ref);
      await driver.close();
    }
  },
};

async function measure(power: SleepPower, ref: SandboxRef, io: SandboxIo): Promise<readonly Row[]> {
  const wakes: number[] = [];
  const awake = await power.memory(ref);
  for (let run = 0; run < RUNS; run++) {
    await power.pause(ref);
    wakes.push(await wake(power, ref, io));
  }
  await power.pause(ref);
  const paused = await power.memory(ref);
  const given = await power.reclaim(ref);
  const hibernated = await power.memory(ref);
  const fromHibernation = await wake(power, ref, io);
  const { p50 } = summary(wakes);
  return [
    {
      measure: 'wake of a paused sandbox, to its answer (p50)',
      result: ms(p50),
      must: '≤ 100 ms',
      goal: '≤ 25 ms',
      verdict: verdict(p50 <= 100, p50 <= 25),
      values: { p50, fromHibernation },
    },
    {
      measure: 'memory of a sandbox: idle, paused, hibernated, stopped',
      result: `${mib(awake)}, ${mib(paused)}, ${given === undefined ? 'not here' : mib(hibernated)}, 0 MiB`,
      must: '',
      goal: '',
      verdict: 'info',
      values: { awake: awake ?? -1, paused: paused ?? -1, hibernated: hibernated ?? -1 },
    },
    {
      measure: 'wake of a hibernated sandbox, to its answer',
      result: given === undefined ? 'the host gives no memory back' : ms(fromHibernation),
      must: '',
      goal: '',
      verdict: 'info',
      values: { fromHibernation },
    },
  ];
}

/** One that was stopped is made anew: what a message waits for then, without the agent's own start. */
async function measureStopped(driver: RuntimeDriver): Promise<Row> {
  const times: number[] = [];
  for (let run = 0; run < RUNS / 3; run++) {
    const began = performance.now();
    const ref = await driver.create(sandboxSpec({ image: sandboxImageTag('default'), argv: ['node', '-e', PROGRAM] }));
    try {
      const io = await driver.start(ref);
      io.stderr.resume();
      await once(io.stdout, 'data');
      const answered = nextLine(io.stdout);
      io.stdin.write('x\n');
      await answered;
      times.push(performance.now() - began);
    } finally {
      await driver.remove(ref);
    }
  }
  const { p50 } = summary(times);
  return {
    measure: 'wake of a stopped sandbox, to its answer (p50)',
    result: ms(p50),
    must: '',
    goal: '',
    verdict: 'info',
    values: { p50 },
  };
}

async function wake(power: SleepPower, ref: SandboxRef, io: SandboxIo): Promise<number> {
  const began = performance.now();
  await power.resume(ref);
  const answered = nextLine(io.stdout);
  io.stdin.write('x\n');
  await answered;
  return performance.now() - began;
}

async function nextLine(stdout: Readable): Promise<void> {
  await once(stdout, 'data');
}

function mib(bytes: number | undefined): string {
  return bytes === undefined ? 'unknown' : `${Math.round(bytes / 1024 ** 2)} MiB`;
}
