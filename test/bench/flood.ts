// The flooding tenant of the bench `fairness`, in a process of its own: it sends at its rate whatever is answered.
import { setTimeout as sleep } from 'node:timers/promises';
import { createTenant, RefusedError } from './tenant.ts';

export interface FloodOrder {
  readonly url: string;
  readonly key: string;
  readonly sessions: number;
  readonly perSecond: number;
}

export interface FloodReport {
  readonly sent: number;
  readonly refused: number;
  readonly accepted: readonly (readonly [string, readonly string[]])[];
}

const STEP_MS = 10;

process.once('message', (order: FloodOrder) => {
  flood(order).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});

/** Ends at the second message of the parent. */
async function flood({ url, key, sessions: count, perSecond }: FloodOrder): Promise<FloodReport> {
  const tenant = await createTenant({ url, key });
  const sessions: string[] = [];
  while (sessions.length < count) sessions.push(await tenant.newSession());
  let isOver = false;
  process.once('message', () => {
    isOver = true;
  });
  process.send?.('flooding');
  let sent = 0;
  let refused = 0;
  const open = new Set<Promise<void>>();
  const began = performance.now();
  while (!isOver) {
    for (const due = ((performance.now() - began) * perSecond) / 1000; sent < due; sent++) {
      const one = tenant.post(sessions[sent % count] ?? '', 'one of many').then(
        () => undefined,
        (error: unknown) => {
          if (!(error instanceof RefusedError) || error.status !== 429) throw error;
          refused++;
        },
      );
      open.add(one);
      void one.finally(() => open.delete(one));
    }
    await sleep(STEP_MS);
  }
  await Promise.all(open);
  tenant.close();
  return { sent, refused, accepted: [...tenant.accepted] };
}
