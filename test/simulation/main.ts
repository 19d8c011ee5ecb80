// `npm run simulate -- --seeds N [--first S]`: runs N clusters in virtual time, one from each seed, and says whether any
// broke a rule. `-- --seed X` runs one, with all of its history.
import { parseArgs } from 'node:util';
import { readOptions } from '../support/read-options.ts';
import { DEFECTS } from './defects.ts';
import { report } from './report.ts';
import { simulate } from './run.ts';

const USAGE = `Usage: npm run simulate -- [--seeds N] [--first S] | --seed S [--defect name]
Runs N clusters (200) in virtual time, one from each seed, and says whether any broke a rule; --seed runs one, with its history.`;
const { values } = readOptions(USAGE, () =>
  parseArgs({
    options: {
      seeds: { type: 'string', default: '200' },
      first: { type: 'string', default: '1' },
      seed: { type: 'string' },
      defect: { type: 'string' },
    },
  }),
);
const defectName = values.defect;
const defect = defectName === undefined ? undefined : (DEFECTS[defectName] ?? fail(`--defect knows ${Object.keys(DEFECTS).join(', ')}.`));
const isOne = values.seed !== undefined;
const first = wholeNumber(isOne ? 'seed' : 'first', values.seed ?? values.first);
const count = isOne ? 1 : wholeNumber('seeds', values.seeds);

const began = performance.now();
let virtualMs = 0;
let events = 0;
let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  const result = await simulate(seed, defect);
  virtualMs += result.virtualMs;
  events += result.events;
  if (isOne) console.log(result.tail(Number.MAX_SAFE_INTEGER).join('\n'));
  if (result.violations.length > 0) {
    failed++;
    console.log(report(result, isOne ? 0 : 60));
  } else if (isOne) console.log(`seed ${seed}: no rule was broken; history ${result.hash}`);
  if (!isOne && (seed - first + 1) % 1000 === 0) console.log(`  ${seed - first + 1} of ${count}, ${failed} failed`);
}
const tookMs = performance.now() - began;
const speed = Math.round(virtualMs / tookMs);
console.log(
  `${count} seeds, ${failed} failed, ${events} events in ${(tookMs / 1000).toFixed(1)} s; virtual time ran ${speed} times as fast as the real one`,
);
process.exitCode = failed === 0 ? 0 : 1;

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  return Number.isInteger(number) && number >= 0 ? number : fail(`--${name} must be a whole number, not "${text}".`);
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
