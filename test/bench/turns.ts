import { closedLoop } from './load.ts';
import { startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, ms, type Row, summary, verdict } from './row.ts';
import type { Tenant } from './tenant.ts';

const SESSIONS = 20;
const WARM_UP_MS = 1500;
const DURATION_MS = 6000;
const WAIT_S = 30;
/** The event loop's monitor counts the time between two of its ticks, which are this far apart when nothing is late. */
const TICK_MS = 10;

/** Whole turns with the fake agent in live sandboxes: a message is sent when the turn before it has ended. */
export const turnsBench: Bench = {
  name: 'turns',
  needsEngine: false,
  async run() {
    await using platform = await startPlatform({ MAX_CONCURRENT_SANDBOXES: String(SESSIONS) });
    const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => platform.newSession()));
    const turn = (session: string) => wholeTurn(platform, session);
    await closedLoop(sessions, WARM_UP_MS, turn);
    await platform.metrics();
    const times = await closedLoop(sessions, DURATION_MS, turn);
    const lag = lagRow(await platform.metrics());
    const perSecond = times.length / (DURATION_MS / 1000);
    const { p50, p99 } = summary(times);
    const row: Row = {
      measure: `whole turns, SQLite, ${SESSIONS} sessions, warm`,
      result: `${perSecond.toFixed(0)}/s, each p50 ${ms(p50)}, p99 ${ms(p99)}`,
      must: '100/s, p99 ≤ 300 ms',
      goal: '200/s',
      verdict: verdict(perSecond >= 100 && p99 <= 300, perSecond >= 200),
      values: { perSecond, p50, p99 },
    };
    return [row, lag, await proveNothingLost('whole turns', [platform])];
  },
};

export async function wholeTurn(tenant: Tenant, session: string): Promise<void> {
  const { turn } = await tenant.post(session, 'hello', WAIT_S);
  if (turn?.outcome !== 'completed') throw new Error(`a turn ended as ${turn?.outcome ?? turn?.state}`);
}

function lagRow(metrics: ReadonlyMap<string, number>): Row {
  const of = (name: string): number => Math.max(0, (metrics.get(`nodejs_eventloop_lag_${name}_seconds`) ?? Number.NaN) * 1000 - TICK_MS);
  const [p50, p99, max] = [of('p50'), of('p99'), of('max')];
  return {
    measure: "the server's event loop meanwhile: lag",
    result: `p50 ${ms(p50)}, p99 ${ms(p99)}, most ${ms(max)}`,
    must: 'p99 ≤ 50 ms, most ≤ 250 ms',
    goal: 'p99 ≤ 20 ms',
    verdict: verdict(p99 <= 50 && max <= 250, p99 <= 20),
    values: { p50, p99, max },
  };
}
