import { mkdtemp, open, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Platform, startPlatform } from './platform.ts';
import { type Bench, ms, type Row, summary, verdict } from './row.ts';

const CONCURRENCY = 32;
const WARM_UP_MS = 1500;
const DURATION_MS = 6000;
const DISK_MS = 3000;
const FIXED_RATE = 300;
const MUST = { perSecond: 300, p99Ms: 50 };
const GOAL = { perSecond: 1000, p99Ms: 30 };

/** Messages whose turns only queue: the one sandbox there is stays busy. SQLite with synchronous=FULL, as always. */
export const acceptBench: Bench = {
  name: 'accept',
  needsEngine: false,
  async run() {
    await using platform = await startPlatform({
      MAX_CONCURRENT_SANDBOXES: '1',
      MAX_QUEUED_PER_SESSION: '1000000',
    });
    await platform.post(await platform.newSession(), '[[hang]]');
    const sessions = await Promise.all(Array.from({ length: CONCURRENCY }, () => platform.newSession()));
    await closedLoop(platform, sessions, WARM_UP_MS);
    const full = await closedLoop(platform, sessions, DURATION_MS);
    const fixed = await fixedRate(platform, sessions);
    return [fullRow(full), fixedRow(fixed), diskRow(await diskTimes())];
  },
};

function fullRow(times: readonly number[]): Row {
  const { p50, p99 } = summary(times);
  const perSecond = times.length / (DURATION_MS / 1000);
  const meets = (limit: typeof MUST): boolean => perSecond >= limit.perSecond && p99 <= limit.p99Ms;
  return {
    measure: `durable accept, ${CONCURRENCY} at once`,
    result: `${perSecond.toFixed(0)}/s, p50 ${ms(p50)}, p99 ${ms(p99)}`,
    must: '300/s, p99 ≤ 50 ms',
    goal: '1,000/s, p99 ≤ 30 ms',
    verdict: verdict(meets(MUST), meets(GOAL)),
    values: { perSecond, p50, p99 },
  };
}

function fixedRow(times: readonly number[]): Row {
  const { p50, p99 } = summary(times);
  return {
    measure: `durable accept at ${FIXED_RATE}/s`,
    result: `p50 ${ms(p50)}, p99 ${ms(p99)}`,
    must: 'p99 ≤ 50 ms',
    goal: 'p99 ≤ 30 ms',
    verdict: verdict(p99 <= MUST.p99Ms, p99 <= GOAL.p99Ms),
    values: { p50, p99 },
  };
}

/** What the disk alone takes, which no store can be faster than: it says whether a missed number is ours or the machine's. */
function diskRow(times: readonly number[]): Row {
  const { p50, p99 } = summary(times);
  const most = Math.max(...times);
  return {
    measure: 'the disk alone: 8 KiB and fdatasync',
    result: `p50 ${ms(p50)}, p99 ${ms(p99)}, most ${ms(most)}`,
    must: '',
    goal: '',
    verdict: 'info',
    values: { p50, p99, most },
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

/** Each client sends again as soon as it has its answer. */
async function closedLoop(platform: Platform, sessions: readonly string[], durationMs: number): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + durationMs;
  await Promise.all(
    sessions.map(async (session) => {
      while (performance.now() < end) {
        const began = performance.now();
        await platform.post(session, 'a message of a usual length, as a person writes it');
        times.push(performance.now() - began);
      }
    }),
  );
  return times;
}

/** Sends at the appointed time whether or not the earlier ones are answered, and counts from that time. */
async function fixedRate(platform: Platform, sessions: readonly string[]): Promise<number[]> {
  const times: number[] = [];
  const sending: Promise<void>[] = [];
  const began = performance.now();
  for (let n = 0; n < (FIXED_RATE * DURATION_MS) / 1000; n++) {
    const due = began + (n * 1000) / FIXED_RATE;
    const early = due - performance.now();
    if (early > 0) await sleep(early);
    const work = platform.post(sessions[n % sessions.length] ?? '', 'a message of a usual length').then(() => {
      times.push(performance.now() - due);
    });
    sending.push(work);
  }
  await Promise.all(sending);
  return times;
}
