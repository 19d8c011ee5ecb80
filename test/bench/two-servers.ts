import type { SessionEvent } from '../../packages/api/src/index.ts';
import { closedLoop } from './load.ts';
import { type Platform, startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, type BenchOptions, ms, type Row, summary, verdict } from './row.ts';
import { type BenchStore, onPostgres } from './stores.ts';
import { wholeTurn } from './turns.ts';

const SESSIONS = 40;
const SANDBOXES = '40';
const WARM_UP_MS = 3000;
const DURATION_MS = 10_000;
const PAGE = 1000;

/** Whole turns on two servers that share a PostgreSQL; each message goes to the other server than the one before it. */
export const twoServersBench: Bench = {
  name: 'two-servers',
  needsEngine: false,
  run: (options) => onPostgres('whole turns on two servers', (store) => measure(store, options)),
};

async function measure(store: BenchStore, { minutes }: BenchOptions): Promise<readonly Row[]> {
  const durationMs = minutes === undefined ? DURATION_MS : minutes * 60_000;
  const env = { ...(await store.freshEnv()), MAX_CONCURRENT_SANDBOXES: SANDBOXES };
  await using one = await startPlatform(env);
  await using two = await startPlatform(env);
  const servers = [one, two];
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => one.newSession()));
  let sent = 0;
  const turn = (session: string) => wholeTurn(servers[sent++ % servers.length] ?? one, session);
  await closedLoop(sessions, WARM_UP_MS, turn);
  const times = await closedLoop(sessions, durationMs, turn);
  const perSecond = times.length / (durationMs / 1000);
  const { p50, p99 } = summary(times);
  const turns = await countRuns(one, sessions);
  const row: Row = {
    measure: `whole turns, 2 servers on one ${store.name}, ${SESSIONS} sessions`,
    result: `${perSecond.toFixed(0)}/s, each p50 ${ms(p50)}, p99 ${ms(p99)}; ${turns.double} of ${turns.all} claimed twice`,
    must: '150/s, 0 claimed twice',
    goal: '400/s',
    verdict: verdict(perSecond >= 150 && turns.double === 0, perSecond >= 400),
    values: { perSecond, p50, p99, turns: turns.all, claimedTwice: turns.double },
  };
  return [row, await proveNothingLost('two servers', servers)];
}

/** A turn that was claimed twice has begun twice or answered twice, and the log has both. */
async function countRuns(platform: Platform, sessions: readonly string[]): Promise<{ readonly all: number; readonly double: number }> {
  const begun = new Map<string, number>();
  const answered = new Map<string, number>();
  for (const session of sessions)
    for await (const event of eventsOf(platform, session)) {
      const into = event.type === 'session.status_running' ? begun : answered;
      if (event.turn_id !== null) into.set(event.turn_id, (into.get(event.turn_id) ?? 0) + 1);
    }
  const double = [...answered].filter(([turn, times]) => times > 1 || (begun.get(turn) ?? 0) > 1).length;
  return { all: answered.size, double };
}

async function* eventsOf(platform: Platform, session: string): AsyncGenerator<SessionEvent> {
  let page: string | undefined;
  do {
    const query = { 'types[]': ['session.status_running', 'agent.message'], limit: PAGE, ...(page === undefined ? {} : { page }) };
    const next = await platform.client.events.list(session, query);
    yield* next.data;
    page = next.next_page ?? undefined;
  } while (page !== undefined);
}
