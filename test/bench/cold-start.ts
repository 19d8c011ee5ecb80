import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { newId } from '../../packages/server/src/base/ids.ts';
import { silentLogger } from '../../packages/server/src/base/log.ts';
import { createDockerDriver, type DockerDriver } from '../../packages/server/src/runtime/docker/driver.ts';
import { sandboxImageTag } from '../../packages/server/src/runtime/image.ts';
import { type Bench, ms, type Row, type Summary, summary, verdict } from './row.ts';
import { sandboxSpec } from './sandbox-spec.ts';

const RUNS = 12;
const HOLDERS = 1;
const FILL_LIMIT_MS = 30_000;
const ARGV = ['node', '-e', 'console.log("up"); setInterval(() => {}, 1000)'];

/**
 * Hardened sandboxes of ours, with their network namespace made ahead and with one of their own, against a plain
 * `docker run` of the same image, in turns, to the first byte of node.
 */
export const coldStartBench: Bench = {
  name: 'cold-start',
  needsEngine: true,
  async run() {
    const image = sandboxImageTag('default');
    const holding = createDockerDriver({ log: silentLogger, networkHolders: { size: HOLDERS, image } });
    const alone = createDockerDriver({ log: silentLogger });
    const [held, own, plain]: [number[], number[], number[]] = [[], [], []];
    try {
      await startOurs(holding, image);
      for (let run = 0; run < RUNS; run++) {
        // Where holders help, the making of the next is not to stand beside a start that is measured.
        const isHelped = await isFilled(holding);
        if (isHelped) held.push(await startOurs(holding, image));
        if (isHelped) await isFilled(holding);
        own.push(await startOurs(alone, image));
        plain.push(await startPlain(image));
      }
    } finally {
      await holding.close();
      await alone.close();
    }
    return rows({ held, own, plain });
  },
};

interface Times {
  readonly held: readonly number[];
  readonly own: readonly number[];
  readonly plain: readonly number[];
}

function rows({ held, own, plain }: Times): readonly Row[] {
  const engine = summary(plain);
  const without = rowOf('cold sandbox, its network made at its start : `docker run` (p50)', summary(own), engine);
  if (held.length === 0) return [without];
  // What users have by default is what the design's numbers are for.
  return [rowOf('cold sandbox : `docker run` (p50)', summary(held), engine), { ...without, goal: '' }];
}

function rowOf(measure: string, ours: Summary, engine: Summary): Row {
  const ratio = ours.p50 / engine.p50;
  return {
    measure,
    result: `${ms(ours.p50)} : ${ms(engine.p50)} = ${ratio.toFixed(2)} ×`,
    must: '≤ 1.15 ×',
    goal: '≤ 0.6 ×',
    verdict: verdict(ratio <= 1.15, ratio <= 0.6),
    values: { ours: ours.p50, oursMax: ours.max, dockerRun: engine.p50, dockerRunMax: engine.max, ratio, runs: ours.n },
  };
}

async function isFilled({ holders }: DockerDriver): Promise<boolean> {
  const deadline = performance.now() + FILL_LIMIT_MS;
  while (holders.ready() < HOLDERS && performance.now() < deadline) await wait(20);
  return holders.ready() === HOLDERS;
}

async function startOurs(driver: DockerDriver, image: string): Promise<number> {
  const spec = sandboxSpec({ image, argv: ARGV });
  const began = performance.now();
  const ref = await driver.create(spec);
  const io = await driver.start(ref);
  io.stderr.resume();
  await once(io.stdout, 'data');
  const took = performance.now() - began;
  io.stdout.resume();
  await driver.remove(ref);
  return took;
}

async function startPlain(image: string): Promise<number> {
  const name = `bench-${newId('sandbox')}`;
  const began = performance.now();
  const child = spawn('docker', ['run', '--rm', '--name', name, '--network', 'none', image, ...ARGV], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const took = performance.now() - began;
  child.stdout.resume();
  await once(spawn('docker', ['rm', '-f', name], { stdio: 'ignore' }), 'exit');
  if (child.exitCode === null) await once(child, 'exit');
  return took;
}
