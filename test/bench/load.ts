import { setTimeout as sleep } from 'node:timers/promises';

/** Each of the workers does the work again as soon as it is done; answers how long each took, in ms. */
export async function closedLoop<T>(workers: readonly T[], durationMs: number, work: (worker: T) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + durationMs;
  await Promise.all(
    workers.map(async (worker) => {
      while (performance.now() < end) {
        const began = performance.now();
        await work(worker);
        times.push(performance.now() - began);
      }
    }),
  );
  return times;
}

/** Begins the work at the appointed times whether or not the earlier is done, and counts from those times. */
export async function fixedRate(
  { perSecond, durationMs }: { readonly perSecond: number; readonly durationMs: number },
  work: (n: number) => Promise<unknown>,
): Promise<number[]> {
  const times: number[] = [];
  const working: Promise<void>[] = [];
  const began = performance.now();
  for (let n = 0; n < (perSecond * durationMs) / 1000; n++) {
    const due = began + (n * 1000) / perSecond;
    const early = due - performance.now();
    if (early > 0) await sleep(early);
    const one = work(n).then(() => {
      times.push(performance.now() - due);
    });
    // It is looked at when all have begun; until then a failure is not unhandled.
    one.catch(() => undefined);
    working.push(one);
  }
  await Promise.all(working);
  return times;
}

/** Does the work for all, a few at a time. */
export async function inParallel<T>(all: readonly T[], atOnce: number, work: (one: T) => Promise<unknown>): Promise<void> {
  const next = all.values();
  const worker = async (): Promise<void> => {
    for (const one of next) await work(one);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
