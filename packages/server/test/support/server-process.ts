import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { freePort } from '../../../../test/support/free-port.ts';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import { waitFor } from './wait-for.ts';

export const ADMIN_KEY = 'clst_test-key-for-a-server-of-its-own';

/** A real server in a process of its own, which can be killed and started again on the same data. */
export interface ServerProcess extends AsyncDisposable {
  readonly url: string;
  readonly dataDir: string;
  /** What it wrote so far, over all its lives. */
  output(): string;
  pid(): number;
  kill(signal: NodeJS.Signals): Promise<number | null>;
  start(env?: Readonly<Record<string, string>>): Promise<void>;
}

export interface ServerProcessOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly readyMs?: number;
  /** A program that starts the server as tests need it, instead of the product's own. */
  readonly program?: string;
}

const MAIN = path.resolve(import.meta.dirname, '../../src/cli/main.ts');

export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-e2e-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  let output = '';

  async function start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const started = spawn(process.execPath, [options.program ?? MAIN, 'serve'], {
      // Nothing of this process's own settings: a key in the developer's shell must not reach the test.
      env: {
        ...programEnvironment(),
        HOME: os.tmpdir(),
        DATA_DIR: dataDir,
        PORT: String(port),
        CLOISTER_ADMIN_KEY: ADMIN_KEY,
        LOG_FORMAT: 'json',
        LOG_LEVEL: 'info',
        RATE_LIMIT_PER_KEY: '0',
        RATE_LIMIT_PER_TENANT: '0',
        // Sandboxes that nobody asked for would be counted; the tests of the pool ask for them.
        WARM_POOL_MAX: '0',
        ...options.env,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = started;
    for (const stream of [started.stdout, started.stderr])
      stream?.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    await waitFor(
      async () => {
        if (started.exitCode !== null) throw new Error(`the server ended with ${started.exitCode}:\n${output.slice(-2000)}`);
        return (await fetch(`${url}/health/live`).catch(() => undefined))?.ok;
      },
      { timeoutMs: options.readyMs ?? 60_000, what: 'the server to be ready' },
    );
  }

  async function kill(signal: NodeJS.Signals): Promise<number | null> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const ended = once(child, 'exit');
    child.kill(signal);
    const [code] = await ended;
    return code;
  }

  await start();
  return {
    url,
    dataDir,
    output: () => output,
    pid: () => child?.pid ?? 0,
    kill,
    start,
    async [Symbol.asyncDispose]() {
      await kill('SIGTERM');
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
