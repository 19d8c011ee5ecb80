import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { newId } from '../../packages/server/src/base/ids.ts';
import { silentLogger } from '../../packages/server/src/base/log.ts';
import { createDockerDriver } from '../../packages/server/src/runtime/docker/driver.ts';
import type { RuntimeDriver } from '../../packages/server/src/runtime/driver.ts';
import { sandboxImageTag } from '../../packages/server/src/runtime/image.ts';
import { type Bench, ms, summary, verdict } from './row.ts';
import { sandboxSpec } from './sandbox-spec.ts';

const RUNS = 12;
const ARGV = ['node', '-e', 'console.log("up"); setInterval(() => {}, 1000)'];

/** A hardened sandbox of ours against a plain `docker run` of the same image, in turns, to the first byte of node. */
export const coldStartBench: Bench = {
  name: 'cold-start',
  needsEngine: true,
  async run() {
    const driver = createDockerDriver({ log: silentLogger });
    const image = sandboxImageTag('default');
    const [ours, plain]: [number[], number[]] = [[], []];
    try {
      for (let run = 0; run < RUNS; run++) {
        ours.push(await startOurs(driver, image));
        plain.push(await startPlain(image));
      }
    } finally {
      await driver.close();
    }
    const [{ p50: own }, { p50: engine }] = [summary(ours), summary(plain)];
    const ratio = own / engine;
    return [
      {
        measure: 'cold sandbox : `docker run` (p50)',
        result: `${ms(own)} : ${ms(engine)} = ${ratio.toFixed(2)} ×`,
        must: '≤ 1.15 ×',
        goal: '≤ 0.6 ×',
        verdict: verdict(ratio <= 1.15, ratio <= 0.6),
        values: { ours: own, dockerRun: engine, ratio },
      },
    ];
  },
};

async function startOurs(driver: RuntimeDriver, image: string): Promise<number> {
  const began = performance.now();
  const ref = await driver.create(sandboxSpec({ image, argv: ARGV }));
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
