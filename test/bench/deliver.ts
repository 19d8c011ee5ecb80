import type { Client } from '@cloister/api';
import { FAKE_RUNTIME, startBenchServer } from './server.ts';
import { ms, percentile, type Row } from './table.ts';

const MESSAGES = 200;
const SESSIONS = 20;
const TURNS_EACH = 50;

/** From the accepting answer to the agent's first word back, in a live sandbox: an upper bound of the delivery. */
export async function benchDeliver(): Promise<readonly Row[]> {
  await using bench = await startBenchServer({ ...FAKE_RUNTIME, MAX_CONCURRENT_SANDBOXES: String(SESSIONS) });
  const [session = ''] = await bench.newSessions(1);
  await bench.client.events.send(session, [{ type: 'user.message', content: 'wake up' }], { wait: 10 });
  const delays = await firstWords(bench.client, session, MESSAGES);
  const p99 = percentile(delays, 0.99);
  return [
    {
      measure: 'accepted → live agent answers its first word',
      result: `p50 ${ms(percentile(delays, 0.5))}, p99 ${ms(p99)}`,
      must: 'p99 ≤ 50 ms',
      goal: 'p50 ≤ 5, p99 ≤ 15 ms',
      isMet: p99 <= 50,
    },
    await benchTurns(bench.client, await bench.newSessions(SESSIONS)),
  ];
}

/** Sends messages one by one; answers the time from each accepting answer to the first preview after it. */
export async function firstWords(client: Client, session: string, count: number): Promise<number[]> {
  const abort = new AbortController();
  const { last_seq: after } = await client.sessions.get(session);
  let onWord: (at: number) => void = () => undefined;
  let onIdle: () => void = () => undefined;
  const following = (async () => {
    for await (const item of client.events.stream(session, { after, deltas: ['agent.message'], signal: abort.signal })) {
      if (item.type === 'preview' && item.preview.type === 'event_delta') onWord(performance.now());
      if (item.type === 'event' && item.event.type === 'session.status_idle') onIdle();
    }
  })();
  const delays: number[] = [];
  for (let n = 0; n < count; n++) {
    const word = new Promise<number>((resolve) => {
      onWord = resolve;
    });
    const idle = new Promise<void>((resolve) => {
      onIdle = resolve;
    });
    await client.events.send(session, [{ type: 'user.message', content: `message ${n}` }]);
    const accepted = performance.now();
    // The word may overtake the answer, as both are on their way at once.
    delays.push(Math.max(0, (await word) - accepted));
    await idle;
  }
  abort.abort();
  await following;
  return delays;
}

async function benchTurns(client: Client, sessions: readonly string[]): Promise<Row> {
  const turn = (session: string) => client.events.send(session, [{ type: 'user.message', content: 'echo' }], { wait: 30 });
  await Promise.all(sessions.map(turn));
  const began = performance.now();
  await Promise.all(
    sessions.map(async (session) => {
      for (let n = 0; n < TURNS_EACH; n++) await turn(session);
    }),
  );
  const rate = (sessions.length * TURNS_EACH) / ((performance.now() - began) / 1000);
  return {
    measure: 'end-to-end turns with an echo agent, warm',
    result: `${rate.toFixed(0)}/s`,
    must: '100/s',
    goal: '200/s',
    isMet: rate >= 100,
  };
}
