import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../packages/server/src/base/log.ts';
import { createDockerDriver } from '../../packages/server/src/runtime/docker/driver.ts';
import type { RuntimeDriver, SandboxIo, SandboxRef } from '../../packages/server/src/runtime/driver.ts';
import { sandboxImageTag } from '../../packages/server/src/runtime/image.ts';
import { type Bench, ms, type Row, summary } from './row.ts';
import { sandboxSpec } from './sandbox-spec.ts';

const IDLE = 20;
const BUSY = 4;
const ROUNDS = 40;
const STARTS_AT_ONCE = 3;
const SETTLE_MS = 1000;
/** Answers each line after some work, as an agent does between tool calls; the idle ones are never asked. */
const PROGRAM = `const held = Buffer.alloc(32 << 20, 1);
process.stdin.on('data', () => { let sum = 0; for (let n = 0; n < 4e6; n += 1) sum += n % 7; console.log(sum + held[0]); });
console.log('up');`;

interface Live {
  readonly ref: SandboxRef;
  readonly io: SandboxIo;
}

/** What sandboxes that do nothing cost those that work: in the time of their answers, and in memory. */
export const idleAndBusyBench: Bench = {
  name: 'idle-and-busy',
  needsEngine: true,
  async run() {
    const driver = createDockerDriver({ log: silentLogger });
    const live: Live[] = [];
    try {
      const busy = await open(driver, BUSY, live);
      const alone = await answersOf(busy);
      const idle = await open(driver, IDLE, live);
      await sleep(SETTLE_MS);
      const beside = await answersOf(busy);
      const awake = await memoryOf(driver, idle);
      for (const { ref } of idle) await driver.sleep?.pause(ref);
      const besidePaused = await answersOf(busy);
      for (const { ref } of idle) await driver.sleep?.reclaim(ref);
      const hibernated = await memoryOf(driver, idle);
      return [...latencyRows({ alone, beside, besidePaused }), memoryRow(awake, hibernated)];
    } finally {
      await Promise.all(live.map(({ ref }) => driver.remove(ref)));
      await driver.close();
    }
  },
};

async function open(driver: RuntimeDriver, count: number, live: Live[]): Promise<readonly Live[]> {
  const opened: Live[] = [];
  for (let from = 0; from < count; from += STARTS_AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(STARTS_AT_ONCE, count - from) }, async () => {
        const ref = await driver.create({
          ...sandboxSpec({ image: sandboxImageTag('default'), argv: ['node', '-e', PROGRAM] }),
          memoryBytes: 256 * 1024 ** 2,
        });
        const io = await driver.start(ref);
        const one = { ref, io };
        live.push(one);
        opened.push(one);
        io.stderr.resume();
        await once(io.stdout, 'data');
      }),
    );
  return opened;
}

/** All of them work at the same time, each one question after the other. */
async function answersOf(busy: readonly Live[]): Promise<readonly number[]> {
  const all = await Promise.all(
    busy.map(async ({ io }) => {
      const times: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const began = performance.now();
        const answered = once(io.stdout, 'data');
        io.stdin.write('x\n');
        await answered;
        times.push(performance.now() - began);
      }
      return times;
    }),
  );
  return all.flat();
}

async function memoryOf({ sleep: power }: RuntimeDriver, all: readonly Live[]): Promise<number | undefined> {
  const each = await Promise.all(all.map(async ({ ref }) => await power?.memory(ref)));
  return each.reduce<number | undefined>((sum, bytes) => (sum === undefined || bytes === undefined ? undefined : sum + bytes), 0);
}

function latencyRows(times: {
  readonly alone: readonly number[];
  readonly beside: readonly number[];
  readonly besidePaused: readonly number[];
}): readonly Row[] {
  const [alone, beside, besidePaused] = [summary(times.alone), summary(times.beside), summary(times.besidePaused)];
  return [
    {
      measure: `${BUSY} busy sandboxes beside ${IDLE} idle ones : alone (p50, p99)`,
      result: `${ms(beside.p50)} : ${ms(alone.p50)} = ${(beside.p50 / alone.p50).toFixed(2)} ×, ${ms(beside.p99)} : ${ms(alone.p99)}`,
      must: '',
      goal: '',
      verdict: 'info',
      values: { alone: alone.p50, beside: beside.p50, aloneP99: alone.p99, besideP99: beside.p99, ratio: beside.p50 / alone.p50 },
    },
    {
      measure: `the same with the ${IDLE} paused (p50, p99)`,
      result: `${ms(besidePaused.p50)}, ${ms(besidePaused.p99)}`,
      must: '',
      goal: '',
      verdict: 'info',
      values: { p50: besidePaused.p50, p99: besidePaused.p99, ratio: besidePaused.p50 / alone.p50 },
    },
  ];
}

function memoryRow(awake: number | undefined, hibernated: number | undefined): Row {
  return {
    measure: `memory of ${IDLE} idle sandboxes: awake, hibernated, stopped`,
    result: `${mib(awake)}, ${mib(hibernated)}, 0 MiB`,
    must: '',
    goal: '',
    verdict: 'info',
    values: { awake: awake ?? -1, hibernated: hibernated ?? -1 },
  };
}

function mib(bytes: number | undefined): string {
  return bytes === undefined ? 'not told here' : `${Math.round(bytes / 1024 ** 2)} MiB`;
}
