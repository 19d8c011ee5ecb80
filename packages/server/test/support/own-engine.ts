import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { access, constants, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { silentLogger } from '../../src/base/log.ts';
import { createDockerDriver } from '../../src/runtime/docker/driver.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);
const ROOM_MS = 90_000;

/** OCI runtime → the program and what it is told. */
type OwnRuntimes = Readonly<Record<string, { readonly path: string; readonly runtimeArgs: readonly string[] }>>;

/** gVisor as docs/runtimes.md says for the version that Debian has, whose other platforms hang. */
export const GVISOR: OwnRuntimes = {
  runsc: { path: '/usr/bin/runsc', runtimeArgs: ['--platform=ptrace', '--network=none', '--fsgofer-host-uds'] },
};

export interface OwnEngine extends AsyncDisposable {
  /** `unix://…`, as `DOCKER_HOST` takes it. */
  readonly endpoint: string;
  /** The engine's own client, spoken to this engine. */
  docker(...args: string[]): Promise<string>;
  /** Ends the engine as a service manager (`SIGTERM`) or a crash (`SIGKILL`) does. */
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  start(): Promise<void>;
}

/** Why an engine of the tests' own cannot be started here; false when it can. */
export async function ownEngineMissing(...programs: string[]): Promise<string | false> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'an engine of its own needs root on Linux';
  for (const program of ['dockerd', 'docker', 'unshare', ...programs]) {
    const places = (process.env.PATH ?? '').split(':').map((directory) => access(path.join(directory, program), constants.X_OK));
    if (!(await Promise.allSettled(places)).some(({ status }) => status === 'fulfilled')) return `an engine of its own needs ${program}`;
  }
  return false;
}

/**
 * A Docker engine of the test's own, with `images` of the usual one in it. It lives in a network namespace of its
 * own, since a second engine in the same one would take the bridge of the first away.
 */
export async function startOwnEngine(options: { readonly images: readonly string[]; readonly runtimes?: OwnRuntimes }): Promise<OwnEngine> {
  const directory = await mkdtemp('/var/tmp/engine-');
  const at = (name: string) => path.join(directory, name);
  const endpoint = `unix://${at('docker.sock')}`;
  const settings = {
    hosts: [endpoint],
    'data-root': at('data'),
    'exec-root': at('run'),
    pidfile: at('pid'),
    bridge: 'none',
    iptables: false,
    ip6tables: false,
    runtimes: options.runtimes ?? {},
  };
  await writeFile(at('daemon.json'), JSON.stringify(settings));
  const docker = async (...args: string[]) => (await run('docker', ['-H', endpoint, ...args], { maxBuffer: 64 * 1024 ** 2 })).stdout;
  let engine: ReturnType<typeof spawn> | undefined;

  async function start(): Promise<void> {
    await rm(at('pid'), { force: true });
    const log = createWriteStream(at('log'), { flags: 'a' });
    await once(log, 'open');
    engine = spawn('unshare', ['--net', 'dockerd', '--config-file', at('daemon.json')], { stdio: ['ignore', log, log] });
    await waitFor(() => isUp(endpoint), { timeoutMs: ROOM_MS, what: 'the own engine to answer' }).catch(async (cause: unknown) => {
      throw new Error(`the engine did not start: ${(await readFile(at('log'), 'utf8')).slice(-2000)}`, { cause });
    });
  }

  async function stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (engine === undefined || engine.exitCode !== null || engine.signalCode !== null) return;
    const ended = once(engine, 'exit');
    engine.kill(signal);
    await ended;
  }

  async function dispose(): Promise<void> {
    const left = (await docker('ps', '-aq').catch(() => '')).split('\n').filter((id) => id !== '');
    if (left.length > 0) await docker('rm', '-f', ...left).catch(() => undefined);
    await stop('SIGTERM');
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  }

  try {
    await start();
    for (const image of options.images) await copyImage(image, endpoint);
  } catch (error) {
    await dispose();
    throw error;
  }
  return { endpoint, docker, stop, start, [Symbol.asyncDispose]: dispose };
}

/** An engine that was killed leaves its mounts, below which nothing can be removed. */
async function unmountBelow(directory: string): Promise<void> {
  const mounted = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '');
  for (const place of mounted.filter((one) => one.startsWith(`${directory}/`)).reverse()) await run('umount', ['--lazy', place]);
}

async function isUp(endpoint: string): Promise<boolean> {
  const driver = createDockerDriver({ endpoint, log: silentLogger });
  try {
    return (await driver.probe()).ok;
  } finally {
    await driver.close();
  }
}

async function copyImage(image: string, endpoint: string): Promise<void> {
  const from = spawn('docker', ['save', image], { stdio: ['ignore', 'pipe', 'ignore'] });
  const to = spawn('docker', ['-H', endpoint, 'load', '--quiet'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(to, 'exit');
  await pipeline(from.stdout, to.stdin);
  const [code] = await ended;
  if (code !== 0) throw new Error(`the image ${image} could not be taken over`);
}
