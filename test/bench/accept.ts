import { FAKE_RUNTIME, startBenchServer } from './server.ts';
import { ms, percentile, type Row } from './table.ts';

const CONCURRENCY = 16;
const DURATION_MS = 5000;
const PACED_PER_SECOND = 300;

/**
 * Durable accept over HTTP. One turn hangs in each session, so the queue grows and what is measured is the
 * accepting alone; SQLite commits with synchronous=FULL as always.
 */
export async function benchAccept(): Promise<readonly Row[]> {
  await using bench = await startBenchServer({ ...FAKE_RUNTIME, MAX_CONCURRENT_SANDBOXES: '1', MAX_QUEUED_PER_SESSION: '1000000' });
  const sessions = await bench.newSessions(50);
  await bench.client.events.send(sessions[0] ?? '', [{ type: 'user.message', content: '[[hang]]' }]);
  let next = 0;
  const send = async (): Promise<number> => {
    const began = performance.now();
    await bench.client.events.send(sessions[next++ % sessions.length] ?? '', [
      { type: 'user.message', content: 'a message of an ordinary length, as people write them' },
    ]);
    return performance.now() - began;
  };
  const full: number[] = [];
  const until = performance.now() + DURATION_MS;
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      while (performance.now() < until) full.push(await send());
    }),
  );
  const rate = full.length / (DURATION_MS / 1000);
  const paced = await atRate(send);
  return [
    {
      measure: 'durable accept, as fast as it goes (SQLite FULL)',
      result: `${rate.toFixed(0)}/s, p99 ${ms(percentile(full, 0.99))}`,
      must: '300/s',
      goal: '1,000/s',
      isMet: rate >= 300,
    },
    {
      measure: `durable accept at ${PACED_PER_SECOND}/s`,
      result: `p50 ${ms(percentile(paced, 0.5))}, p99 ${ms(percentile(paced, 0.99))}`,
      must: 'p99 ≤ 50 ms',
      goal: 'p99 ≤ 30 ms',
      isMet: percentile(paced, 0.99) <= 50,
    },
  ];
}

/** Sends at a fixed rate whatever the answers take, so that a slow moment is not hidden by its own backlog. */
async function atRate(send: () => Promise<number>): Promise<number[]> {
  const pending: Promise<number>[] = [];
  const began = performance.now();
  for (let n = 0; n < PACED_PER_SECOND * 4; n++) {
    const due = began + (n * 1000) / PACED_PER_SECOND;
    if (due > performance.now()) await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    pending.push(send());
  }
  return Promise.all(pending);
}
