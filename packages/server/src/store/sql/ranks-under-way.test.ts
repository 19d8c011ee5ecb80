import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine, Transaction } from './engine.ts';
import { run } from './query.ts';
import { withRanksUnderWay } from './ranks-under-way.ts';

/** An engine whose transactions all run beside each other, until they are let go. */
function parallelEngine() {
  const { promise: go, resolve: letGo } = Promise.withResolvers<void>();
  const engine: Engine = {
    read: () => assert.fail('nothing is read'),
    async write(operation) {
      const query = operation({ publish: () => undefined });
      let step = query.next();
      while (step.done !== true) {
        await go;
        step = query.next({ rows: [], changes: 0 });
      }
      return step.value;
    },
    onCommit: () => () => undefined,
    close: async () => undefined,
  };
  return { engine: withRanksUnderWay(engine), letGo };
}

function* rankOne(tx: Transaction, line: string, rank: number) {
  const taken = tx.takeRank?.(line, rank, 1);
  yield* run('wait');
  return taken;
}

test('turns of one tenant that become ready at the same moment stand behind each other', async () => {
  const { engine, letGo } = parallelEngine();
  const ranks = ['a', 'a', 'b', 'a'].map((line) => engine.write((tx) => rankOne(tx, line, 5)));
  letGo();
  assert.deepEqual(await Promise.all(ranks), [5, 6, 5, 7]);
  assert.equal(await engine.write((tx) => rankOne(tx, 'a', 5)), 5, 'what was committed is for the store to tell');
});
