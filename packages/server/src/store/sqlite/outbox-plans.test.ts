import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { append, createSession, lease, newEvent, queue, T0 } from '../conformance/kit.ts';
import { createWebhook, dueInMs, fill } from '../conformance/outbox-kit.ts';
import type { DeliveryRow } from '../store.ts';
import { openSqliteStore } from './sqlite-store.ts';

/** Far above what an indexed look-up takes on a slow machine, below what reading every row takes. */
const LIMIT_MS = 5;

test('a long backlog of one target slows nothing down', { timeout: 60_000 }, async () => {
  const store = await openSqliteStore({ file: ':memory:', clock: systemClock });
  try {
    const events = ['session.archived'];
    const [slow, other] = [await createWebhook(store, { events }), await createWebhook(store, { events })];
    await Promise.all(Array.from({ length: 100 }, () => fill(store, slow, 200)));
    await fill(store, other, 20);
    const session = await createSession(store);
    await queue(store, session.id);
    const leased = await lease(store);
    const timed = async <T>(what: string, act: () => Promise<T>): Promise<T> => {
      // The best of several: the machine has other things to do as well.
      let best = Number.POSITIVE_INFINITY;
      let last: T | undefined;
      for (let index = 0; index < 8; index++) {
        const started = performance.now();
        last = await act();
        best = Math.min(best, performance.now() - started);
      }
      assert.ok(best < LIMIT_MS, `${what} took ${best.toFixed(1)} ms`);
      // The loop has run.
      return last as T;
    };
    const take = () => store.outbox.lease({ nodeId: 'nod_1', leaseMs: 30_000, limit: 1, maxPerTarget: 50, except: [], now: T0 });
    await timed('looking for what is due', () => dueInMs(store));
    await timed('counting', () => store.outbox.counts().then(() => dueInMs(store)));
    const got: DeliveryRow[] = [];
    await timed('leasing', async () => got.push(...(await take())));
    await timed('settling', async () => {
      const one = got.pop() ?? assert.fail('one is leased');
      await store.outbox.settle({ id: one.id, attempt: one.attempt, result: { kind: 'sent', status: 200 }, health: 'good', now: T0 });
    });
    await timed('the first page', () =>
      store.outbox.list({ tenantId: slow.tenantId, targetId: slow.id, state: 'pending', limit: 20, order: 'desc' }),
    );
    await timed('an event that nobody hears of', () => append(store, leased, { events: [newEvent('turn.ended')] }));
  } finally {
    await store.close();
  }
});
