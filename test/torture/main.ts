// `npm run torture -- --kills N [--seed S]`: kills a working server N times and says whether anything was lost.
import { parseArgs } from 'node:util';
import { describe } from './report.ts';
import { runTorture } from './run.ts';

const { values } = parseArgs({ options: { kills: { type: 'string', default: '100' }, seed: { type: 'string' } } });
const kills = wholeNumber('kills', values.kills);
const seed = values.seed === undefined ? Date.now() % 1_000_000 : wholeNumber('seed', values.seed);

console.log(`Killing a server ${kills} times, seed ${seed} …`);
const result = await runTorture({
  kills,
  seed,
  onKill: (kill) => {
    if (kill % 25 === 0) console.log(`  ${kill} of ${kills}`);
  },
});
console.log(describe(result, { seed, kills }));
process.exitCode = result.violations.length === 0 ? 0 : 1;

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0) return number;
  console.error(`--${name} must be a whole number, not "${text}".`);
  process.exit(2);
}
