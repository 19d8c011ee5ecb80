import assert from 'node:assert/strict';
import { it } from 'node:test';
import { waitFor } from '../../test/support/wait-for.ts';
import type { ContainerStats, ServiceRef } from '../runtime/services.ts';
import { createStatsHub } from './stats-hub.ts';

const REF: ServiceRef = { service: 'svc_one', incarnation: 'inc_one', handle: 'c1' };
const stats = (pids: number): ContainerStats => ({
  at: '2026-01-01T00:00:00Z',
  cpuPercent: 0,
  memoryBytes: 0,
  memoryLimitBytes: 0,
  pids,
  receivedBytes: 0,
  sentBytes: 0,
});

/** An engine whose streams say what they are told to, and count. */
function createEngine() {
  const engine = { opened: 0, closed: 0, waiting: Promise.withResolvers<number | undefined>(), say, stats: read };
  function say(pids: number | undefined): void {
    const { resolve } = engine.waiting;
    engine.waiting = Promise.withResolvers();
    resolve(pids);
  }
  async function* read(_ref: ServiceRef, { signal }: { readonly signal: AbortSignal }): AsyncGenerator<ContainerStats> {
    engine.opened++;
    const aborted = new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined), { once: true }));
    try {
      for (let pids = await Promise.race([engine.waiting.promise, aborted]); pids !== undefined; ) {
        yield stats(pids);
        pids = await Promise.race([engine.waiting.promise, aborted]);
      }
    } finally {
      engine.closed++;
    }
  }
  return engine;
}

it('asks the engine once for all who watch a container, and no longer than anybody does', { timeout: 30_000 }, async () => {
  const engine = createEngine();
  const hub = createStatsHub(engine);
  const aborts = [new AbortController(), new AbortController(), new AbortController()];
  const seen = aborts.map((): number[] => []);
  const watching = aborts.map(async ({ signal }, index) => {
    for await (const { pids } of hub.watch(REF, signal)) seen[index]?.push(pids);
  });
  await waitFor(() => engine.opened === 1, { timeoutMs: 10_000, what: 'the stream' });
  for (const pids of [1, 2]) {
    engine.say(pids);
    await waitFor(() => seen.every((one) => one.at(-1) === pids), { timeoutMs: 10_000, what: `everybody to see ${pids}` });
  }
  assert.deepEqual([engine.opened, hub.open()], [1, 1]);
  for (const abort of aborts) abort.abort();
  await Promise.all(watching);
  await waitFor(() => engine.closed === 1, { timeoutMs: 10_000, what: "the engine's stream to be closed" });
  assert.equal(hub.open(), 0);
});

it('ends with the container, and opens a new stream for who comes later', { timeout: 30_000 }, async () => {
  const engine = createEngine();
  const hub = createStatsHub(engine);
  for (const round of [1, 2]) {
    const watch = (async () => {
      for await (const _one of hub.watch(REF, new AbortController().signal));
    })();
    await waitFor(() => engine.opened === round, { timeoutMs: 10_000, what: 'the stream' });
    engine.say(undefined);
    await watch;
  }
  assert.deepEqual([engine.closed, hub.open()], [2, 0]);
});
