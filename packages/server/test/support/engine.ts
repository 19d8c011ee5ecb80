import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { silentLogger } from '../../src/base/log.ts';
import { createDockerDriver } from '../../src/runtime/docker/driver.ts';

const run = promisify(execFile);

/** Why tests that need a container engine cannot run here; false when they can. */
export async function engineMissing(): Promise<string | false> {
  const driver = createDockerDriver({ log: silentLogger });
  const probe = await driver.probe();
  await driver.close();
  return probe.ok ? false : `needs a container engine: ${probe.detail}`;
}

/** The engine's own client, for looking from outside at what the server made. */
export async function docker(...args: string[]): Promise<string> {
  const { stdout } = await run('docker', args, { maxBuffer: 1024 ** 3, encoding: 'latin1' });
  return stdout;
}

export async function containersOf(label: string): Promise<string[]> {
  return (await docker('ps', '-aq', '--no-trunc', '--filter', `label=${label}`)).split('\n').filter((id) => id !== '');
}

/** Whether what the engine's client prints contains `needle`; for outputs too large to hold. */
export async function dockerPrints(needle: string, ...args: string[]): Promise<boolean> {
  const child = spawn('docker', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let tail = Buffer.alloc(0);
  let isFound = false;
  for await (const chunk of child.stdout) {
    const window = Buffer.concat([tail, chunk]);
    isFound ||= window.includes(needle);
    tail = window.subarray(-needle.length);
  }
  return isFound;
}
