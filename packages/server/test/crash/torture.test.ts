import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describe } from '../../../../test/torture/report.ts';
import { runTorture } from '../../../../test/torture/run.ts';

const KILLS = 100;
/** One that every run repeats: `npm run torture` draws others. */
const SEED = 20_407;
const LIMIT_MS = 6 * 60_000;

it(`loses and doubles nothing over ${KILLS} kills`, { timeout: LIMIT_MS }, async (t) => {
  const result = await runTorture({ kills: KILLS, seed: SEED });
  const report = describe(result, { kills: KILLS, seed: SEED });
  for (const line of report.split('\n')) t.diagnostic(line);
  assert.deepEqual(result.violations, [], report);
  assert.ok(
    result.history.sessions.every((session) => session.logged.length > 20),
    'the load was real',
  );
});
