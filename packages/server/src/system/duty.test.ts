import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createManualClock, type ManualClock } from '../../test/support/manual-clock.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { silentLogger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { DutyStore } from '../store/store.ts';
import { createDuty } from './duty.ts';

const LEASE_MS = 30_000;
const TICK_MS = LEASE_MS / 3;

interface Node {
  readonly duty: Service;
  begun: number;
  ended: number;
  /** Of the run at work. */
  signal: AbortSignal | undefined;
  /** Lets the run end by itself. */
  finish: () => void;
}

async function setup(duties: (own: DutyStore, nodeId: string) => DutyStore = (own) => own) {
  const clock = createManualClock();
  const store = await openSqliteStore({ file: ':memory:', clock });
  const atWork = { now: 0, most: 0 };
  const node = (nodeId: string): Node => {
    const run = async (signal: AbortSignal): Promise<void> => {
      one.begun++;
      one.signal = signal;
      atWork.most = Math.max(atWork.most, ++atWork.now);
      const { promise, resolve } = Promise.withResolvers<void>();
      one.finish = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
      await promise;
      atWork.now--;
      one.ended++;
    };
    const deps = { name: 'sweep', nodeId, leaseMs: LEASE_MS, clock, log: silentLogger, run };
    const one: Node = {
      duty: createDuty({ ...deps, duties: duties(store.duties, nodeId) }),
      begun: 0,
      ended: 0,
      signal: undefined,
      finish: () => undefined,
    };
    return one;
  };
  return { clock, store, atWork, a: node('nod_a'), b: node('nod_b') };
}

const until = (condition: () => boolean, what: string) => waitFor(condition, { timeoutMs: 5000, what });
/** Lets what was asked of the store be answered. */
const settle = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

async function advance(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1000) {
    clock.advance(1000);
    await settle();
  }
}

describe('a duty', () => {
  it('is done by one node, for as long as that lives', async () => {
    const { clock, store, atWork, a, b } = await setup();
    await a.duty.start();
    await until(() => a.begun === 1, 'one to begin');
    await b.duty.start();
    await advance(clock, 5 * LEASE_MS);
    assert.deepEqual([a.begun, a.ended, b.begun, atWork.most], [1, 0, 0, 1]);
    await a.duty.stop();
    assert.equal(a.ended, 1);
    await b.duty.stop();
    await store.close();
  });

  it('goes to another node when it is given up, at the next try', async () => {
    const { clock, store, a, b } = await setup();
    await a.duty.start();
    await until(() => a.begun === 1, 'one to begin');
    await b.duty.start();
    await settle();
    await a.duty.stop();
    await advance(clock, TICK_MS);
    assert.equal(b.begun, 1);
    await b.duty.stop();
    await store.close();
  });

  it('goes to another node when its own is dead, within a lease and a try', async () => {
    const dead = { is: false };
    const { clock, store, atWork, a, b } = await setup((own, nodeId) =>
      nodeId !== 'nod_a' ? own : { ...own, hold: (input) => (dead.is ? Promise.reject(new Error('cut off')) : own.hold(input)) },
    );
    await a.duty.start();
    await until(() => a.begun === 1, 'one to begin');
    await b.duty.start();
    await settle();
    dead.is = true;
    await advance(clock, LEASE_MS + TICK_MS);
    assert.deepEqual([a.ended, b.begun, atWork.most], [1, 1, 1], 'the first had stopped by itself');
    await b.duty.stop();
    await store.close();
  });

  it('is stopped before its lease ends when the store is slow to extend it', async () => {
    const slow = { is: false };
    const { clock, store, a } = await setup((own) => ({
      ...own,
      hold: (input) => (slow.is ? new Promise<boolean>(() => undefined) : own.hold(input)),
    }));
    await a.duty.start();
    await until(() => a.begun === 1, 'one to begin');
    slow.is = true;
    await advance(clock, LEASE_MS * (2 / 3));
    assert.equal(a.signal?.aborted, false);
    await advance(clock, LEASE_MS / 3 - 1000);
    assert.equal(a.signal?.aborted, true);
    assert.equal(await store.duties.hold({ name: 'sweep', nodeId: 'nod_b', leaseMs: LEASE_MS }), false, 'the lease has not ended yet');
    await store.close();
  });

  it('that ends by itself is begun again', async () => {
    const { clock, store, a } = await setup();
    await a.duty.start();
    await until(() => a.begun === 1, 'it to begin');
    a.finish();
    await advance(clock, TICK_MS);
    assert.deepEqual([a.begun, a.ended], [2, 1]);
    await a.duty.stop();
    assert.equal(clock.pending(), 0);
    await store.close();
  });
});
