import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { systemClock } from '../../packages/server/src/base/clock.ts';
import { newId } from '../../packages/server/src/base/ids.ts';
import { hashApiKey } from '../../packages/server/src/http/auth.ts';
import { openSqliteStore } from '../../packages/server/src/store/sqlite/sqlite-store.ts';
import { createServerControl } from '../torture/server-control.ts';
import { createTenant, type Tenant } from './tenant.ts';

/** The built server in a process of its own, as `npm start` runs it, with data of its own; and its first tenant. */
export interface Platform extends Tenant, AsyncDisposable {
  readonly pid: number;
  /** How long the start took until the server was ready, in ms. */
  readonly startMs: number;
  /** The other tenants that were asked for. */
  readonly others: readonly Tenant[];
  /** RSS of the server; Linux only, NaN elsewhere. */
  residentMb(): Promise<number>;
  /** The server's metrics by name; those with labels are left out. Each reading begins the event loop's lag anew. */
  metrics(): Promise<ReadonlyMap<string, number>>;
}

export interface PlatformOptions {
  /** Where the data is and stays; else a folder that goes with the server. */
  readonly dataDir?: string;
  /** Keys of further tenants, on SQLite. */
  readonly otherKeys?: readonly string[];
}

let profiles: string | undefined;

/** From now on each server that is started leaves a CPU profile in this folder when it stops. */
export function profileInto(directory: string | undefined): void {
  profiles = directory === undefined ? undefined : path.resolve(directory);
}

const PROGRAM = path.resolve(import.meta.dirname, '../../packages/server/dist/cloister.mjs');

export async function startPlatform(env: Readonly<Record<string, string>> = {}, options: PlatformOptions = {}): Promise<Platform> {
  const dataDir = options.dataDir ?? (await mkdtemp(path.join(os.tmpdir(), 'cloister-bench-')));
  // A backlog is measured, not refused.
  const queues = { MAX_QUEUED: '1000000', MAX_QUEUED_PER_TENANT: '1000000' };
  const profiling = profiles === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profiles}` };
  await addTenants(dataDir, options.otherKeys ?? []);
  const control = await createServerControl({
    dataDir,
    program: PROGRAM,
    env: { LOG_LEVEL: 'warn', DRAIN_SECONDS: '0', ...queues, ...profiling, ...env },
  });
  const stop = async (): Promise<void> => {
    await control.kill('SIGTERM');
    if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
  };
  try {
    const began = performance.now();
    await control.start();
    await untilReady(control.url);
    const startMs = performance.now() - began;
    const { url, key, pid } = control;
    if (pid === undefined) throw new Error('the server has no process');
    const first = await createTenant({ url, key });
    const others = await Promise.all((options.otherKeys ?? []).map((other) => createTenant({ url, key: other })));
    return {
      ...first,
      pid,
      startMs,
      others,
      residentMb: () => residentMb(pid),
      metrics: () => readMetrics(url, key),
      async [Symbol.asyncDispose]() {
        for (const tenant of [first, ...others]) tenant.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Nothing makes tenants over the API, so they are there before the server is. */
async function addTenants(dataDir: string, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  const folder = path.join(dataDir, 'data');
  await mkdir(folder, { recursive: true });
  const store = await openSqliteStore({ file: path.join(folder, 'cloister.db'), clock: systemClock });
  try {
    for (const [index, key] of keys.entries()) {
      const tenantId = `bench-${index}`;
      const hash = hashApiKey(key);
      await store.apiKeys.ensure({ id: newId('apiKey'), tenantId, name: tenantId, role: 'admin', hash, now: systemClock.now() });
    }
  } finally {
    await store.close();
  }
}

const READY_LIMIT_MS = 60_000;

async function untilReady(url: string): Promise<void> {
  const deadline = performance.now() + READY_LIMIT_MS;
  while (!(await fetch(`${url}/health/ready`)).ok)
    if (performance.now() > deadline) throw new Error(`the server was not ready within ${READY_LIMIT_MS} ms`);
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1024;
}

async function readMetrics(url: string, key: string): Promise<ReadonlyMap<string, number>> {
  const response = await fetch(`${url}/metrics`, { headers: { 'x-api-key': key } });
  const lines = (await response.text()).matchAll(/^(\w+) (\S+)$/gm);
  return new Map([...lines].map(([, name = '', value = '']): [string, number] => [name, Number(value)]));
}
