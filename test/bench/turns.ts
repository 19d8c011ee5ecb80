import { type Platform, startPlatform } from './platform.ts';
import { type Bench, ms, summary, verdict } from './row.ts';

const SESSIONS = 20;
const WARM_UP_MS = 1500;
const DURATION_MS = 6000;
const WAIT_S = 30;

/** Whole turns with the fake agent in live sandboxes: a message is sent when the turn before it has ended. */
export const turnsBench: Bench = {
  name: 'turns',
  needsEngine: false,
  async run() {
    await using platform = await startPlatform({ MAX_CONCURRENT_SANDBOXES: String(SESSIONS) });
    const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => platform.newSession()));
    await runTurns(platform, sessions, WARM_UP_MS);
    const times = await runTurns(platform, sessions, DURATION_MS);
    const perSecond = times.length / (DURATION_MS / 1000);
    const { p50, p99 } = summary(times);
    return [
      {
        measure: `whole turns, ${SESSIONS} sessions, warm`,
        result: `${perSecond.toFixed(0)}/s, each p50 ${ms(p50)}, p99 ${ms(p99)}`,
        must: '100/s',
        goal: '200/s',
        verdict: verdict(perSecond >= 100, perSecond >= 200),
        values: { perSecond, p50, p99 },
      },
    ];
  },
};

async function runTurns(platform: Platform, sessions: readonly string[], durationMs: number): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + durationMs;
  await Promise.all(
    sessions.map(async (session) => {
      while (performance.now() < end) {
        const began = performance.now();
        const { turn } = await platform.post(session, 'hello', WAIT_S);
        if (turn?.outcome !== 'completed') throw new Error(`a turn ended as ${turn?.outcome ?? turn?.state}`);
        times.push(performance.now() - began);
      }
    }),
  );
  return times;
}
