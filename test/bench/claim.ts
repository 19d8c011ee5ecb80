import { setTimeout as sleep } from 'node:timers/promises';
import { type ChunkWatch, watchChunks } from './first-chunk.ts';
import { startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, ms, type Row, summary, verdict } from './row.ts';
import { type BenchStore, onBothStores } from './stores.ts';
import type { Tenant } from './tenant.ts';

const RUNS = 300;
const WARM_UP = 30;
const PAUSE_MS = 10;

/** From the answer to the POST until the reader of the stream sees that the turn is claimed, so some time more than the claim takes. */
export const claimBench: Bench = { name: 'claim', needsEngine: false, run: () => onBothStores('accepted → claimed', measure) };

async function measure(store: BenchStore): Promise<readonly Row[]> {
  await using platform = await startPlatform(await store.freshEnv());
  const session = await platform.newSession();
  const times: number[] = [];
  {
    await using watch = await watchChunks(platform, session);
    for (let run = 0; run < RUNS + WARM_UP; run++) {
      const time = await timeOfClaim(platform, session, watch);
      if (run >= WARM_UP) times.push(time);
      await sleep(PAUSE_MS);
    }
  }
  const { p50, p99 } = summary(times);
  const row: Row = {
    measure: `accepted → claimed, idle, ${store.name}`,
    result: `p50 ${ms(p50)}, p99 ${ms(p99)}`,
    must: 'p99 ≤ 50 ms',
    goal: 'p99 ≤ 15 ms',
    verdict: verdict(p99 <= 50, p99 <= 15),
    values: { p50, p99 },
  };
  return [row, await proveNothingLost(`accepted → claimed, ${store.name}`, [platform])];
}

/** One whole turn; answers how long after the answer to its message it was claimed. */
export async function timeOfClaim(tenant: Tenant, session: string, watch: ChunkWatch): Promise<number> {
  const turn = watch.next();
  const answered = tenant.post(session, 'hello').then(() => performance.now());
  const [{ claimedAt }, answeredAt] = await Promise.all([turn, answered]);
  if (Number.isNaN(claimedAt)) throw new Error('a turn ended that nobody saw begin');
  return Math.max(0, claimedAt - answeredAt);
}
