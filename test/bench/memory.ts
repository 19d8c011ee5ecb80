import { setTimeout as sleep } from 'node:timers/promises';
import { startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, type Row, verdict } from './row.ts';

const SETTLE_MS = 3000;
const SESSIONS = 10;
const TURNS = 20;
const MUST_MB = 150;
const GOAL_MB = 100;

/** What the server holds while nothing happens: just started, and after some work whose sandboxes are gone. */
export const memoryBench: Bench = {
  name: 'idle-server',
  needsEngine: false,
  async run() {
    await using platform = await startPlatform({ SANDBOX_IDLE_SECONDS: '1' });
    await sleep(SETTLE_MS);
    const fresh = await platform.residentMb();
    for (let n = 0; n < SESSIONS; n++) {
      const session = await platform.newSession();
      for (let turn = 0; turn < TURNS; turn++) await platform.post(session, 'hello', 10);
    }
    await sleep(SETTLE_MS);
    const rested = await platform.residentMb();
    return [
      row('idle server, just started', fresh),
      row(`idle server, after ${SESSIONS * TURNS} turns`, rested),
      await proveNothingLost('idle server', [platform]),
    ];
  },
};

function row(measure: string, mb: number): Row {
  return {
    measure,
    result: Number.isNaN(mb) ? 'this system does not tell' : `RSS ${mb.toFixed(0)} MB`,
    must: `RSS ≤ ${MUST_MB} MB`,
    goal: `RSS ≤ ${GOAL_MB} MB`,
    verdict: Number.isNaN(mb) ? 'skipped' : verdict(mb <= MUST_MB, mb <= GOAL_MB),
    values: { mb },
  };
}
