import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServerControl, type ServerControl } from '../torture/server-control.ts';
import { type LoadReport, runLoad } from './load.ts';
import { type Reading, readAll, readResources, type Subject } from './reading.ts';
import { ALLOWANCES, compare, highest, KINDS, type SoakRow } from './verdict.ts';

export interface SoakOptions {
  readonly turns: number;
  /** Before the first reading: what is made once, such as compiled code and kept connections, is there then. */
  readonly warmUp: number;
  readonly runtime: 'docker' | 'fake';
  readonly leak?: string;
  /** Ends the load early. */
  readonly minutes?: number | undefined;
  readonly onProgress?: (done: number) => void;
}

export interface SoakResult {
  readonly rows: readonly SoakRow[];
  readonly load: LoadReport;
  readonly seconds: number;
}

const PROGRAM = path.resolve(import.meta.dirname, 'server-main.ts');
const READ_EVERY = 20;
/** How long the server may take to become idle, and its readings to come down. */
const SETTLE_LIMIT_MS = 120_000;
const LOOK_MS = 500;
/** Readings that have stayed the same for so long have settled; what has not come down for so many looks does not. */
const SETTLED_LOOKS = 4;
const LEAK_LOOKS = 16;

/** Sandboxes sleep after a second and go after four, so that every state of them is passed through many times. */
const ENV = {
  SANDBOX_PAUSE_SECONDS: '1',
  SANDBOX_HIBERNATE_SECONDS: '2',
  SANDBOX_IDLE_SECONDS: '4',
  MAX_CONCURRENT_SANDBOXES: '6',
  LOG_LEVEL: 'warn',
};

/** Works a server hard, lets it rest, and compares what it holds with what it held before. */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'soak-'));
  const memoryFile = path.join(directory, 'memory.json');
  const leak = options.leak === undefined ? {} : { CLOISTER_SOAK_LEAK: options.leak };
  const control = await createServerControl({
    dataDir: directory,
    program: PROGRAM,
    env: { ...ENV, CLOISTER_RUNTIME: options.runtime, CLOISTER_SOAK_MEMORY: memoryFile, ...leak },
  });
  try {
    await control.start();
    const { pid } = control;
    if (pid === undefined) throw new Error('the server has no process');
    return await soak(options, control, {
      pid,
      memoryFile,
      dataDir: path.join(directory, 'data'),
      hasEngine: options.runtime === 'docker',
    });
  } finally {
    await control.kill('SIGTERM');
    await rm(directory, { recursive: true, force: true });
  }
}

async function soak(
  { turns, warmUp, minutes, onProgress }: SoakOptions,
  { url, key }: ServerControl,
  subject: Subject,
): Promise<SoakResult> {
  const began = performance.now();
  await runLoad({ url, key, turns: warmUp });
  const before = await settle(url, key, subject);
  let most = before;
  let reading: Promise<void> = Promise.resolve();
  const readMost = async (): Promise<void> => {
    most = highest(most, await readResources(subject));
  };
  const load = await runLoad({
    url,
    key,
    turns,
    first: warmUp,
    until: minutes === undefined ? undefined : performance.now() + minutes * 60_000,
    onTurn(done) {
      onProgress?.(done);
      if (done % READ_EVERY === 0) reading = reading.then(readMost);
    },
  });
  await reading;
  const after = await settle(url, key, subject, before);
  return { rows: compare({ before, most, after }), load, seconds: (performance.now() - began) / 1000 };
}

/** Waits until nothing runs and the readings stay, or are back at those of `before`, and answers the last. */
async function settle(url: string, key: string, subject: Subject, before?: Reading): Promise<Reading> {
  const deadline = performance.now() + SETTLE_LIMIT_MS;
  let last = '';
  for (let same = 0; performance.now() < deadline; await sleep(LOOK_MS)) {
    const isIdle = await askWhetherIdle(url, key);
    const now = await readResources(subject);
    const shown = JSON.stringify(now);
    same = isIdle && shown === last ? same + 1 : 0;
    last = shown;
    const isBack = before === undefined || KINDS.every((what) => Number.isNaN(now[what]) || now[what] <= before[what] + ALLOWANCES[what]);
    if (same >= SETTLED_LOOKS && isBack) break;
    if (same >= LEAK_LOOKS) break;
  }
  return readAll(subject);
}

async function askWhetherIdle(url: string, key: string): Promise<boolean> {
  const sandboxes: unknown = await (await fetch(`${url}/v1/sandboxes`, { headers: { 'x-api-key': key } })).json();
  return (
    typeof sandboxes === 'object' &&
    sandboxes !== null &&
    'data' in sandboxes &&
    Array.isArray(sandboxes.data) &&
    sandboxes.data.length === 0
  );
}
