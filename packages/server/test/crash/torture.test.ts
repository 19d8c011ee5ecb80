import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { skipWithoutMount } from '../../../../test/support/loop-filesystem.ts';
import { skipWithoutOwnPostgres } from '../../../../test/support/postgres.ts';
import { PASSED_POINTS } from '../../../../test/torture/faults.ts';
import { report } from '../../../../test/torture/report.ts';
import { runTorture, type TortureOptions } from '../../../../test/torture/run.ts';

const LIMIT_MS = 6 * 60_000;
const onPostgres = { timeout: LIMIT_MS, skip: skipWithoutOwnPostgres };
const POINTS = PASSED_POINTS.map((name) => `crash:${name}` as const);

/** Seeds are ones that every run repeats: `npm run torture` draws others. */
async function torture(t: TestContext, options: TortureOptions): Promise<void> {
  const result = await runTorture(options);
  const text = report(result, options);
  for (const line of text.split('\n')) t.diagnostic(line);
  assert.deepEqual(result.violations, [], text);
  const lengths = result.history.sessions.map((session) => session.logged.length);
  assert.ok(Math.min(...lengths) > 5 && lengths.reduce((sum, length) => sum + length, 0) > 150, `the load was real: ${lengths.join(', ')}`);
}

describe('nothing is lost and nothing is doubled', () => {
  it('over 100 kills, on SQLite', { timeout: LIMIT_MS }, (t) => torture(t, { kills: 100, seed: 20_407 }));
  it('over 40 kills, on PostgreSQL', onPostgres, (t) => torture(t, { kills: 40, seed: 20_408, store: 'postgres' }));
  it('over 40 kills of two servers on one PostgreSQL', onPostgres, (t) =>
    torture(t, { kills: 40, seed: 20_409, store: 'postgres', servers: 2 }),
  );
  it('by kills at every named point, on SQLite', { timeout: LIMIT_MS }, (t) =>
    torture(t, { kills: POINTS.length, seed: 20_410, faults: POINTS }),
  );
  it('by kills at every named point, on PostgreSQL', onPostgres, (t) =>
    torture(t, { kills: POINTS.length, seed: 20_411, store: 'postgres', faults: POINTS }),
  );
  it('by pauses, stops and a database that goes away, of two servers on one PostgreSQL', onPostgres, (t) =>
    torture(t, {
      kills: 6,
      seed: 20_412,
      store: 'postgres',
      servers: 2,
      faults: ['pause', 'term', 'pg-restart', 'pg-kill', 'blackhole', 'cut'],
    }),
  );
  it('by a full disk, on SQLite', { timeout: LIMIT_MS, skip: skipWithoutMount }, (t) =>
    torture(t, { kills: 2, seed: 20_413, faults: ['disk-full'] }),
  );
});
