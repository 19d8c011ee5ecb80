import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fixedRate } from './load.ts';
import { type Platform, startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, ms, type Row, verdict } from './row.ts';
import type { Order, Report } from './sse-clients.ts';

const READERS = 2000;
const SESSIONS = 20;
const PER_READER = 2;
const WARM_UP_MS = 2000;
const DURATION_MS = 15_000;
const STORM_MS = 12_000;
const STORM_AFTER_MS = 2000;
const SAMPLE_MS = 250;

/**
 * Readers share sessions, so that what is measured is the delivery and not the writing. The agents hang; what the
 * readers get is the messages that queue behind, each with the time at which it was sent.
 */
export const sseBench: Bench = {
  name: 'sse',
  needsEngine: false,
  async run() {
    await using platform = await startPlatform({ MAX_CONCURRENT_SANDBOXES: String(SESSIONS) });
    const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => platform.newSession()));
    for (const session of sessions) await platform.post(session, '[[hang]]');
    await using clients = startClients();
    const { url, key } = platform;
    const opened = await clients.ask({ type: 'open', url, key, sessions, readers: READERS });
    await send(platform, sessions, WARM_UP_MS);
    await clients.ask({ type: 'begin' });
    const memory = watchMemory(platform);
    await send(platform, sessions, DURATION_MS);
    const steady = await clients.ask({ type: 'end', heads: await headsOf(platform, sessions) });
    const mostMb = await memory.stop();
    const sending = send(platform, sessions, STORM_MS);
    await sleep(STORM_AFTER_MS);
    const storm = await clients.ask({ type: 'storm' });
    await sending;
    const last = await clients.ask({ type: 'end', heads: await headsOf(platform, sessions) });
    return [
      steadyRow({ ...steady, behind: opened.behind + steady.behind }, mostMb),
      stormRow(storm, last),
      await proveNothingLost('event streams', [platform]),
    ];
  },
};

function steadyRow({ p50, p99, max, events, behind, gaps, doubles }: Report, mostMb: number): Row {
  const isWhole = behind === 0 && gaps === 0 && doubles === 0 && events >= (READERS * PER_READER * DURATION_MS) / 1000;
  const isMet = isWhole && p99 <= 250 && mostMb <= 350;
  return {
    measure: `${READERS.toLocaleString('en')} event streams × ${PER_READER}/s: sent → at the reader`,
    result: `p50 ${ms(p50)}, p99 ${ms(p99)}, RSS ${mostMb.toFixed(0)} MB; ${events.toLocaleString('en')} events, ${gaps} gaps, ${doubles} double, ${behind} behind`,
    must: 'p99 ≤ 250 ms, RSS ≤ 350 MB',
    goal: '5,000 readers',
    verdict: verdict(isMet, false),
    values: { p50, p99, max, mostMb, events, gaps, doubles, behind },
  };
}

function stormRow(storm: Report, last: Report): Row {
  const { tookMs } = storm;
  const { gaps, doubles } = last;
  const behind = storm.behind + last.behind;
  const isWhole = behind === 0 && gaps === 0 && doubles === 0;
  return {
    measure: `${READERS.toLocaleString('en')} readers cut at once: until all read on`,
    result: `${(tookMs / 1000).toFixed(1)} s, ${gaps} gaps, ${doubles} double, ${behind} behind`,
    must: '≤ 10 s, 0 gaps',
    goal: '≤ 5 s',
    verdict: verdict(isWhole && tookMs <= 10_000, tookMs <= 5000),
    values: { tookMs, gaps, doubles, behind },
  };
}

/** Messages to all sessions, spread evenly over time. */
async function send(platform: Platform, sessions: readonly string[], durationMs: number): Promise<void> {
  await fixedRate({ perSecond: sessions.length * PER_READER, durationMs }, (n) =>
    platform.post(sessions[n % sessions.length] ?? '', `sent=${(performance.timeOrigin + performance.now()).toFixed(3)};`),
  );
}

async function headsOf(platform: Platform, sessions: readonly string[]): Promise<Record<string, number>> {
  const rows = await Promise.all(sessions.map((session) => platform.client.sessions.get(session)));
  return Object.fromEntries(rows.map(({ id, last_seq }) => [id, last_seq]));
}

function watchMemory(platform: Platform): { stop(): Promise<number> } {
  const over = new AbortController();
  const watching = (async () => {
    let most = await platform.residentMb();
    while (!over.signal.aborted) {
      await sleep(SAMPLE_MS);
      most = Math.max(most, await platform.residentMb());
    }
    return most;
  })();
  return {
    stop() {
      over.abort();
      return watching;
    },
  };
}

interface Clients extends AsyncDisposable {
  ask(order: Order): Promise<Report>;
}

function startClients(): Clients {
  const child: ChildProcess = fork(path.join(import.meta.dirname, 'sse-clients.ts'));
  const ended = once(child, 'exit');
  return {
    async ask(order) {
      const answered = once(child, 'message');
      child.send(order);
      const gone = ended.then(([code]) => Promise.reject(new Error(`the readers ended with ${code}`)));
      const [report] = await Promise.race([answered, gone]);
      return report;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
