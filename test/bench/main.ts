// `npm run bench [-- --only name] [--minutes N] [--json] [--profile folder]`: the numbers of the design, measured on this machine.
import os from 'node:os';
import { parseArgs } from 'node:util';
import { engineMissing } from '../../packages/server/test/support/engine.ts';
import { readOptions } from '../support/read-options.ts';
import { acceptBench } from './accept.ts';
import { backlogBench } from './backlog.ts';
import { bigStoreBench } from './big-store.ts';
import { build } from './build.ts';
import { claimBench } from './claim.ts';
import { coldStartBench } from './cold-start.ts';
import { deliveryBench } from './delivery.ts';
import { fairnessBench } from './fairness.ts';
import { firstTokenBench, firstTokenClaudeBench } from './first-token.ts';
import { idleAndBusyBench } from './idle-and-busy.ts';
import { memoryBench } from './memory.ts';
import { memorySlopeBench } from './memory-slope.ts';
import { profileInto } from './platform.ts';
import { type Bench, failed, type Row, skipped, table } from './row.ts';
import { sleepBench } from './sleep.ts';
import { sseBench } from './sse.ts';
import { turnsBench } from './turns.ts';
import { twoServersBench } from './two-servers.ts';
import { warmBench } from './warm.ts';

const BENCHES: readonly Bench[] = [
  acceptBench,
  claimBench,
  deliveryBench,
  turnsBench,
  twoServersBench,
  sseBench,
  backlogBench,
  fairnessBench,
  memoryBench,
  memorySlopeBench,
  bigStoreBench,
  coldStartBench,
  warmBench,
  sleepBench,
  idleAndBusyBench,
  firstTokenBench,
  firstTokenClaudeBench,
];
/** What a bench that can take any time takes when it alone is asked for. */
const LONG_MINUTES: Readonly<Record<string, number>> = { [memorySlopeBench.name]: 10 };

const USAGE = `Usage: npm run bench -- [--only name] [--minutes N] [--json] [--profile folder]
Measures the numbers of the design on this machine.`;
const { values: options } = readOptions(USAGE, () =>
  parseArgs({
    options: {
      only: { type: 'string' },
      minutes: { type: 'string' },
      json: { type: 'boolean', default: false },
      profile: { type: 'string' },
    },
  }),
);
const { only } = options;
const minutes = options.minutes === undefined ? undefined : Number(options.minutes);
const exact = BENCHES.filter(({ name }) => name === only);
const chosen =
  exact.length > 0 ? exact : BENCHES.filter(({ name, isLong }) => (only === undefined ? isLong !== true : name.includes(only)));
if (chosen.length === 0 || (minutes !== undefined && !(minutes > 0))) {
  console.error(`--only is one of ${BENCHES.map((bench) => bench.name).join(', ')}; --minutes is a number.`);
  process.exit(2);
}

profileInto(options.profile);
await build();
const missing = chosen.some((bench) => bench.needsEngine) ? await engineMissing() : false;
const rows: Row[] = [];
for (const bench of chosen) {
  const load = os.loadavg()[0]?.toFixed(1);
  if (!options.json) console.error(`measuring ${bench.name} … (load average ${load})`);
  rows.push(...(await measure(bench)));
}
if (only === undefined)
  for (const { name, isLong } of BENCHES) if (isLong === true) rows.push(skipped(name, `takes long: npm run bench -- --only ${name}`));
console.log(options.json ? JSON.stringify(rows, undefined, 2) : table(rows));
process.exitCode = rows.some((row) => row.verdict === 'MISSED') ? 1 : 0;

async function measure(bench: Bench): Promise<readonly Row[]> {
  if (bench.needsEngine && missing !== false) return [skipped(bench.name, missing)];
  try {
    return await bench.run({ minutes: minutes ?? (exact.includes(bench) ? LONG_MINUTES[bench.name] : undefined) });
  } catch (error) {
    return [failed(bench.name, error)];
  }
}
