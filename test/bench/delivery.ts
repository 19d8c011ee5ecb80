import { setTimeout as sleep } from 'node:timers/promises';
import { watchChunks } from './first-chunk.ts';
import { startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, ms, summary, verdict } from './row.ts';

const RUNS = 400;
const WARM_UP = 50;
const PAUSE_MS = 5;

/** From the answer to the POST until the live agent's first piece is here: the fake agent speaks as soon as it has the prompt. */
export const deliveryBench: Bench = {
  name: 'delivery',
  needsEngine: false,
  async run() {
    await using platform = await startPlatform();
    const session = await platform.newSession();
    await using watch = await watchChunks(platform, session);
    const afterAnswer: number[] = [];
    const afterPost: number[] = [];
    for (let run = 0; run < RUNS + WARM_UP; run++) {
      const began = performance.now();
      const turn = watch.next();
      const answered = platform.post(session, 'hello').then(() => performance.now());
      const [{ firstAt }, answeredAt] = await Promise.all([turn, answered]);
      if (run >= WARM_UP) {
        afterAnswer.push(Math.max(0, firstAt - answeredAt));
        afterPost.push(firstAt - began);
      }
      await sleep(PAUSE_MS);
    }
    const { p50, p99 } = summary(afterAnswer);
    const whole = summary(afterPost);
    return [
      {
        measure: 'accepted → first piece of a live agent',
        result: `p50 ${ms(p50)}, p99 ${ms(p99)} (from the POST: p50 ${ms(whole.p50)}, p99 ${ms(whole.p99)})`,
        must: 'p99 ≤ 50 ms',
        goal: 'p50 ≤ 5 ms, p99 ≤ 15 ms',
        verdict: verdict(p99 <= 50, p50 <= 5 && p99 <= 15),
        values: { p50, p99, fromPostP50: whole.p50, fromPostP99: whole.p99 },
      },
      await proveNothingLost('delivery', [platform]),
    ];
  },
};
