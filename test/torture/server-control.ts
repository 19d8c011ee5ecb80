import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import { programEnvironment } from '../support/program-environment.ts';

export interface ServerControl {
  readonly url: string;
  readonly key: string;
  readonly logFile: string;
  readonly pid: number | undefined;
  /** Answers how long it took until the first answer, in ms; undefined when it was killed before. */
  start(env?: Readonly<Record<string, string>>): Promise<number | undefined>;
  kill(signal: NodeJS.Signals): Promise<number | null>;
  /** Sends a signal that ends nothing. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Resolves with true once the process has ended, with false when that takes longer. */
  ended(limitMs: number): Promise<boolean>;
}

const MAIN = path.resolve(import.meta.dirname, '../../packages/server/src/cli/main.ts');
const READY_LIMIT_MS = 60_000;
const POLL_MS = 5;

/** The real server in a process of its own, on one port over all its lives. */
export async function createServerControl(input: {
  readonly dataDir: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The command line's file: the sources, unless a build is to be run. */
  readonly program?: string;
  /** Beside the data directory, unless several servers share that. */
  readonly logFile?: string;
}): Promise<ServerControl> {
  const key = 'clst_key-of-a-server-that-is-killed';
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const logFile = input.logFile ?? path.join(input.dataDir, 'server.log');
  let child: ChildProcess | undefined;
  return {
    url,
    key,
    logFile,
    get pid() {
      return child?.pid;
    },
    async start(env = {}) {
      const log = openSync(logFile, 'a');
      const started = spawn(process.execPath, [input.program ?? MAIN, 'serve'], {
        // Nothing of this process's own settings, but for where programs are.
        env: {
          ...programEnvironment(),
          HOME: os.homedir(),
          CLOISTER_RUNTIME: 'fake',
          WARM_POOL_MAX: '0',
          DATA_DIR: path.join(input.dataDir, 'data'),
          PORT: String(port),
          CLOISTER_ADMIN_KEY: key,
          LOG_FORMAT: 'json',
          // The load is no ordinary client.
          RATE_LIMIT_PER_KEY: '0',
          RATE_LIMIT_PER_TENANT: '0',
          ...input.env,
          ...env,
        },
        stdio: ['ignore', log, log],
      });
      closeSync(log);
      child = started;
      return untilReady(url, started, logFile);
    },
    async kill(signal) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
      const ended = once(child, 'exit');
      child.kill(signal);
      const [code] = await ended;
      return code;
    },
    signal: (signal) => void child?.kill(signal),
    async ended(limitMs) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return true;
      return once(child, 'exit', { signal: AbortSignal.timeout(limitMs) }).then(
        () => true,
        () => false,
      );
    },
  };
}

async function untilReady(url: string, child: ChildProcess, logFile: string): Promise<number | undefined> {
  const began = performance.now();
  while (performance.now() - began < READY_LIMIT_MS) {
    if (child.signalCode === 'SIGKILL') return undefined;
    if (child.exitCode !== null) break;
    const isReady = await fetch(`${url}/health/live`, { signal: AbortSignal.timeout(2000) }).then(
      (response) => response.ok,
      () => false,
    );
    if (isReady) return performance.now() - began;
    await sleep(POLL_MS);
  }
  const tail = (await readFile(logFile, 'utf8')).slice(-3000);
  throw new Error(`the server ${child.exitCode === null ? 'did not answer' : `ended with ${child.exitCode}`}:\n${tail}`);
}
