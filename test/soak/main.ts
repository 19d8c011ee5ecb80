// `npm run soak -- [--turns N] [--minutes M] [--runtime docker|fake]`: works a server hard and says whether anything of it stays behind.
import { parseArgs } from 'node:util';
import { engineMissing } from '../../packages/server/test/support/engine.ts';
import { readOptions } from '../support/read-options.ts';
import { runSoak } from './run.ts';
import { table } from './verdict.ts';

const USAGE = `Usage: npm run soak -- [--turns N] [--minutes M] [--runtime docker|fake]
Works a server hard, for N turns (2000), and says whether anything of it stays behind.`;
const { values } = readOptions(USAGE, () =>
  parseArgs({
    options: {
      turns: { type: 'string', default: '2000' },
      minutes: { type: 'string' },
      runtime: { type: 'string', default: 'docker' },
      leak: { type: 'string' },
    },
  }),
);
const turns = Number(values.turns);
const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
const { runtime, leak } = values;
if (!Number.isInteger(turns) || turns < 1) fail('--turns must be a whole number above 0.');
if (minutes !== undefined && !(minutes > 0)) fail('--minutes must be a number above 0.');
if (runtime !== 'docker' && runtime !== 'fake') fail('--runtime must be docker or fake.');
const missing = runtime === 'docker' ? await engineMissing() : false;
if (missing !== false) fail(`${missing}.`);

console.log(`${turns} turns on ${runtime} …`);
const { rows, load, seconds } = await runSoak({
  turns,
  warmUp: Math.min(200, Math.max(20, Math.floor(turns / 10))),
  runtime,
  minutes,
  ...(leak === undefined ? {} : { leak }),
  onProgress: (done) => {
    if (done % 100 === 0) console.log(`  ${done} of ${turns}`);
  },
});
const failures = [...load.failures].map(([what, count]) => `${count} × ${what}`);
console.log(
  `${load.turns} turns in ${load.sessions} new sessions, ${load.interrupted} of them interrupted, ${load.removed} sessions removed, in ${Math.round(seconds)} s`,
);
console.log(table(rows));
if (failures.length > 0) console.log(`turns that ended otherwise: ${failures.join(', ')}`);
process.exitCode = rows.some(({ isLeak }) => isLeak) || failures.length > 0 ? 1 : 0;

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
