import { setTimeout as sleep } from 'node:timers/promises';
import { startFakeModel } from '../../packages/fake-model/src/index.ts';
import { watchChunks } from './first-chunk.ts';
import { type Platform, startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, ms, type Row, summary, verdict } from './row.ts';

const KEY = 'sk-bench';
const MODEL = 'claude-sonnet-4-5';
const RUNS = 8;
const READY_LIMIT_MS = 60_000;
/** The processor is the agent's alone once what was started before has come to rest. */
const SETTLE_MS = 1500;

/** The real Claude agent from the warm pool against the same started by its message, in turns. */
export const warmBench: Bench = {
  name: 'warm',
  needsEngine: true,
  async run() {
    const model = await startFakeModel({ requireKey: KEY });
    try {
      const env = {
        CLOISTER_RUNTIME: 'docker',
        ANTHROPIC_API_KEY: KEY,
        ANTHROPIC_BASE_URL: model.url,
        CLOISTER_MODEL: MODEL,
        CLOISTER_HARNESS: 'claude',
        // Else a sandbox is there before the message, whichever way it came.
        PRESTART_SANDBOXES: 'false',
        MAX_CONCURRENT_SANDBOXES: '40',
      };
      await using pooled = await startPlatform({ ...env, WARM_POOL_MAX: '1' });
      await using cold = await startPlatform({ ...env, WARM_POOL_MAX: '0' });
      // Sessions that come often are what fills the pool.
      for (let session = 0; session < 3; session++) await firstWord(pooled);
      await firstWord(cold);
      const times: Times = { warm: [], cold: [], handover: [] };
      for (let run = 0; run < RUNS; run++) {
        await untilReady(pooled);
        const { took, stages } = await firstWord(pooled);
        if (stages.handover === undefined) throw new Error('the sandbox did not come from the pool');
        times.warm.push(took);
        times.handover.push(stages.handover);
        await sleep(SETTLE_MS);
        times.cold.push((await firstWord(cold)).took);
      }
      return [...rows(times), await proveNothingLost('warm', [pooled]), await proveNothingLost('cold beside warm', [cold])];
    } finally {
      await model.close();
    }
  },
};

interface Times {
  readonly warm: number[];
  readonly cold: number[];
  readonly handover: number[];
}

function rows({ warm, cold, handover }: Times): readonly Row[] {
  const [taken, chunk, usual] = [summary(handover), summary(warm), summary(cold)];
  return [
    {
      measure: 'sandbox from the warm pool (p50)',
      result: `${ms(taken.p50)}, at most ${ms(taken.max)}`,
      must: '≤ 100 ms',
      goal: '≤ 25 ms',
      verdict: verdict(taken.p50 <= 100, taken.p50 <= 25),
      values: { p50: taken.p50, max: taken.max, runs: taken.n },
    },
    {
      measure: 'claude: message → first word, from the warm pool (p50), and cold',
      result: `${ms(chunk.p50)}, cold ${ms(usual.p50)}`,
      must: '≤ 700 ms',
      goal: '≤ 250 ms',
      verdict: verdict(chunk.p50 <= 700, chunk.p50 <= 250),
      values: { warm: chunk.p50, warmMax: chunk.max, cold: usual.p50, ratio: chunk.p50 / usual.p50 },
    },
  ];
}

/** A new session's first message, until the first piece of its answer. */
async function firstWord(platform: Platform): Promise<{ readonly took: number; readonly stages: Readonly<Record<string, number>> }> {
  const session = await platform.newSession();
  await using watch = await watchChunks(platform, session);
  const began = performance.now();
  const [{ firstAt }] = await Promise.all([watch.next(), platform.post(session, 'hello')]);
  const [turn] = (await platform.client.turns.list({ session_id: session })).data;
  return { took: firstAt - began, stages: turn?.stages ?? {} };
}

async function untilReady(platform: Platform): Promise<void> {
  const deadline = performance.now() + READY_LIMIT_MS;
  while (!(await (await get(platform, '/metrics')).text()).includes('\ncloister_warm_sandboxes{state="ready"} 1')) {
    if (performance.now() > deadline) throw new Error('no sandbox stood ready in time');
    await sleep(100);
  }
  await sleep(SETTLE_MS);
}

function get({ url, key }: Platform, route: string): Promise<Response> {
  return fetch(`${url}${route}`, { headers: { 'x-api-key': key } });
}
