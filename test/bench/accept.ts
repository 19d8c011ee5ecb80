import { mkdtemp, open, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { closedLoop, fixedRate } from './load.ts';
import { startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, ms, type Row, summary, verdict } from './row.ts';
import { type BenchStore, onBothStores } from './stores.ts';

const CONCURRENCY = 32;
const WARM_UP_MS = 1500;
const DURATION_MS = 6000;
const DISK_MS = 3000;
/** The rates that the numbers speak of, and how long the slowest of a hundred may take at them. */
const MUST = { perSecond: 300, p99Ms: 50 };
const GOAL = { perSecond: 1000, p99Ms: 30 };
const TEXT = 'a message of a usual length, as a person writes it';

/** Messages whose turns only queue: the one sandbox there is stays busy. */
export const acceptBench: Bench = {
  name: 'accept',
  needsEngine: false,
  run: async () => [...(await onBothStores('durable accept', measure)), diskRow(await diskTimes())],
};

async function measure(store: BenchStore): Promise<readonly Row[]> {
  await using platform = await startPlatform({
    MAX_CONCURRENT_SANDBOXES: '1',
    MAX_QUEUED_PER_SESSION: '1000000',
    ...(await store.freshEnv()),
  });
  await platform.post(await platform.newSession(), '[[hang]]');
  const sessions = await Promise.all(Array.from({ length: CONCURRENCY }, () => platform.newSession()));
  const post = (session: string) => platform.post(session, TEXT);
  await closedLoop(sessions, WARM_UP_MS, post);
  const at = (perSecond: number) => fixedRate({ perSecond, durationMs: DURATION_MS }, (n) => post(sessions[n % sessions.length] ?? ''));
  const must = mustRow(store, await at(MUST.perSecond));
  const goal = goalRow(store, await at(GOAL.perSecond));
  const full = fullRow(store, await closedLoop(sessions, DURATION_MS, post));
  return [must, goal, full, await proveNothingLost(`durable accept, ${store.name}`, [platform])];
}

function mustRow({ name }: BenchStore, times: readonly number[]): Row {
  const { p50, p99 } = summary(times);
  return {
    measure: `durable accept, ${name}, at ${MUST.perSecond}/s`,
    result: `p50 ${ms(p50)}, p99 ${ms(p99)}`,
    must: 'p99 ≤ 50 ms',
    goal: '',
    verdict: p99 <= MUST.p99Ms ? 'ok' : 'MISSED',
    values: { p50, p99 },
  };
}

function goalRow({ name }: BenchStore, times: readonly number[]): Row {
  const { p50, p99 } = summary(times);
  return {
    measure: `durable accept, ${name}, at ${GOAL.perSecond}/s`,
    result: `p50 ${ms(p50)}, p99 ${ms(p99)}`,
    must: '',
    goal: 'p99 ≤ 30 ms',
    verdict: p99 <= GOAL.p99Ms ? 'goal' : 'info',
    values: { p50, p99 },
  };
}

function fullRow({ name }: BenchStore, times: readonly number[]): Row {
  const { p50, p99 } = summary(times);
  const perSecond = times.length / (DURATION_MS / 1000);
  return {
    measure: `durable accept, ${name}, ${CONCURRENCY} at once, as fast as they can`,
    result: `${perSecond.toFixed(0)}/s, p50 ${ms(p50)}, p99 ${ms(p99)}`,
    must: '300/s',
    goal: '1,000/s',
    verdict: verdict(perSecond >= MUST.perSecond, perSecond >= GOAL.perSecond),
    values: { perSecond, p50, p99 },
  };
}

/** What the disk alone takes, which no store can be faster than: it says whether a missed number is ours or the machine's. */
function diskRow(times: readonly number[]): Row {
  const { p50, p99, max } = summary(times);
  return {
    measure: 'the disk alone: 8 KiB and fdatasync',
    result: `p50 ${ms(p50)}, p99 ${ms(p99)}, most ${ms(max)}`,
    must: '',
    goal: '',
    verdict: 'info',
    values: { p50, p99, most: max },
  };
}

async function diskTimes(): Promise<number[]> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'cloister-bench-'));
  const file = await open(path.join(directory, 'disk'), 'w');
  const block = Buffer.alloc(8192);
  const times: number[] = [];
  try {
    const end = performance.now() + DISK_MS;
    while (performance.now() < end) {
      const began = performance.now();
      await file.write(block);
      await file.datasync();
      times.push(performance.now() - began);
      await sleep(1);
    }
  } finally {
    await file.close();
    await rm(directory, { recursive: true, force: true });
  }
  return times;
}
