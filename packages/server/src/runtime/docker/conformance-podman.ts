import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { silentLogger } from '../../base/log.ts';
import { waitFor } from '../conformance/bench.ts';
import { createDockerDriver } from './driver.ts';
import { errorCode } from './failures.ts';
import { testEngine } from './test-engine.ts';

const run = promisify(execFile);

/** For tests: a real Podman service with a store of its own, which holds the image that Docker's engine has. */
export interface PodmanService extends AsyncDisposable {
  readonly endpoint: string;
  readonly image: string;
}

export type FoundPodman =
  /** With another image of Docker's than the tests' usual one, if one is named. */
  { readonly ok: true; readonly start: (image?: string) => Promise<PodmanService> } | { readonly ok: false; readonly reason: string };

export async function findPodman(): Promise<FoundPodman> {
  const isThere = await run('podman', ['--version']).then(
    () => true,
    () => false,
  );
  if (!isThere) return { ok: false, reason: 'podman is not installed' };
  if (process.getuid?.() !== 0) return { ok: false, reason: 'the Podman service of the tests needs root' };
  const docker = await testEngine();
  if (!docker.ok) return { ok: false, reason: `Podman's image comes out of Docker's engine: ${docker.reason}` };
  return { ok: true, start: (image = docker.image) => startService(image) };
}

// Limits below this process's own, control groups and events as they are where no systemd runs.
const SETTINGS = `[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
`;

async function startService(image: string): Promise<PodmanService> {
  const home = mkdtempSync(path.join(tmpdir(), 'cloister-podman-'));
  const inHome = (name: string) => path.join(home, name);
  for (const name of ['store', 'run', 'tmp']) mkdirSync(inHome(name));
  writeFileSync(inHome('containers.conf'), SETTINGS);
  const places = ['--root', inHome('store'), '--runroot', inHome('run'), '--tmpdir', inHome('tmp')];
  const env = { ...inheritedPath(), CONTAINERS_CONF: inHome('containers.conf') };
  const podman = (...args: string[]) => run('podman', [...places, ...args], { env });

  await run('docker', ['save', '--output', inHome('image.tar'), image]);
  await podman('load', '--quiet', '--input', inHome('image.tar'));
  rmSync(inHome('image.tar'));
  const endpoint = `unix://${inHome('podman.sock')}`;
  const service = spawn('podman', [...places, 'system', 'service', '--time=0', endpoint], { env, cwd: home, stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => service.once('exit', () => resolve()));
  const driver = createDockerDriver({ kind: 'podman', endpoint, log: silentLogger });
  await waitFor(
    () => driver.probe(),
    (probe) => probe.ok,
    30_000,
  );
  await driver.close();
  return {
    endpoint,
    image,
    async [Symbol.asyncDispose]() {
      // With those that are in the network of another one.
      await podman('rm', '--all', '--force', '--depend', '--time', '0').finally(() => service.kill());
      await ended;
      endMonitors(home);
      // Its store is a mount of its own.
      await run('umount', [inHome('store/overlay')]).catch(() => undefined); // not mounted with every storage driver
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Commands in containers leave their monitors behind, which wait five minutes before they tidy up in a store that is gone by then. */
function endMonitors(home: string): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (program.endsWith('/conmon') && args.some((arg) => arg.startsWith(home))) process.kill(Number(pid), 'SIGKILL');
    } catch (error) {
      // It ended while we looked.
      if (!['ENOENT', 'ESRCH'].includes(errorCode(error) ?? '')) throw error;
    }
  }
}

/** Podman looks for its helpers on the PATH, which node passes on when no environment is given. */
function inheritedPath(): { readonly PATH: string } {
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };
}
