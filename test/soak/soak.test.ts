import assert from 'node:assert/strict';
import { test } from 'node:test';
import { engineMissing } from '../../packages/server/test/support/engine.ts';
import { runSoak } from './run.ts';
import { table } from './verdict.ts';

test('a server that has worked holds what it held before', async (t) => {
  const missing = await engineMissing();
  if (missing !== false) return t.skip(missing);
  const { rows, load } = await runSoak({ turns: 28, warmUp: 8, runtime: 'docker' });
  assert.deepEqual([...load.failures], []);
  assert.ok(
    rows.every(({ isLeak }) => !isLeak),
    table(rows),
  );
  const containers = rows.find(({ what }) => what === 'containers');
  assert.ok((containers?.most ?? 0) > (containers?.before ?? 0), 'the containers of the work were seen');
});

test('whatever leaks is found', async () => {
  const { rows } = await runSoak({ turns: 20, warmUp: 2, runtime: 'fake', leak: 'files,memory,processes,sockets' });
  const leaks = rows.flatMap(({ what, isLeak }) => (isLeak ? [what] : []));
  assert.deepEqual(leaks, ['files', 'processes', 'zombies', 'sockets', 'residentMb', 'heapMb'], table(rows));
});
