// `npm run bench [-- --only name] [--json]`: the numbers of the design, measured on this machine.
import { parseArgs } from 'node:util';
import { engineMissing } from '../../packages/server/test/support/engine.ts';
import { acceptBench } from './accept.ts';
import { build } from './build.ts';
import { coldStartBench } from './cold-start.ts';
import { deliveryBench } from './delivery.ts';
import { firstTokenBench, firstTokenClaudeBench } from './first-token.ts';
import { memoryBench } from './memory.ts';
import { type Bench, type Row, table } from './row.ts';
import { turnsBench } from './turns.ts';

const BENCHES: readonly Bench[] = [
  acceptBench,
  deliveryBench,
  turnsBench,
  memoryBench,
  coldStartBench,
  firstTokenBench,
  firstTokenClaudeBench,
];

const { values: options } = parseArgs({ options: { only: { type: 'string' }, json: { type: 'boolean', default: false } } });
const chosen = BENCHES.filter((bench) => options.only === undefined || bench.name.includes(options.only));
if (chosen.length === 0) {
  console.error(`--only is one of ${BENCHES.map((bench) => bench.name).join(', ')}.`);
  process.exit(2);
}

await build();
const missing = chosen.some((bench) => bench.needsEngine) ? await engineMissing() : false;
const rows: Row[] = [];
for (const bench of chosen) {
  if (!options.json) console.error(`measuring ${bench.name} …`);
  rows.push(...(bench.needsEngine && missing !== false ? [skipped(bench, missing)] : await bench.run()));
}
console.log(options.json ? JSON.stringify(rows, undefined, 2) : table(rows));
process.exitCode = rows.some((row) => row.verdict === 'MISSED') ? 1 : 0;

function skipped(bench: Bench, reason: string): Row {
  return { measure: bench.name, result: reason, must: '', goal: '', verdict: 'skipped', values: {} };
}
