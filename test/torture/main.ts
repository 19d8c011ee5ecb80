// `npm run torture -- --kills N [--seed S] [--store sqlite|postgres] [--servers N] [--faults kill,pause,…]`: does things
// to working servers N times and says whether anything was lost.
import { parseArgs } from 'node:util';
import { skipWithoutMount } from '../support/loop-filesystem.ts';
import { skipWithoutOwnPostgres } from '../support/postgres.ts';
import { readOptions } from '../support/read-options.ts';
import { FAULTS, type FaultName, reasonAgainst } from './faults.ts';
import { report } from './report.ts';
import { runTorture } from './run.ts';

const USAGE = `Usage: npm run torture -- [--kills N] [--seed S] [--store sqlite|postgres] [--servers 1-3] [--faults kill,pause,…]
Does things to working servers N times (100) and says whether anything was lost. Faults: ${FAULTS.join(', ')}.`;
const { values } = readOptions(USAGE, () =>
  parseArgs({
    options: {
      kills: { type: 'string', default: '100' },
      seed: { type: 'string' },
      store: { type: 'string', default: 'sqlite' },
      servers: { type: 'string', default: '1' },
      faults: { type: 'string', default: 'kill' },
    },
  }),
);
const kills = wholeNumber('kills', values.kills);
const servers = wholeNumber('servers', values.servers);
const seed = values.seed === undefined ? Date.now() % 1_000_000 : wholeNumber('seed', values.seed);
const store = values.store === 'sqlite' || values.store === 'postgres' ? values.store : fail('--store must be sqlite or postgres.');
const faults = values.faults
  .split(',')
  .map((name) => FAULTS.find((known) => known === name) ?? fail(`--faults knows ${FAULTS.join(', ')}.`));
if (servers < 1 || servers > 3) fail('--servers must be 1, 2 or 3.');
if (servers > 1 && store === 'sqlite') fail('SQLite has one server; several need --store postgres.');
if (store === 'postgres' && skipWithoutOwnPostgres !== false) fail(`${skipWithoutOwnPostgres}.`);
if (faults.includes('disk-full') && skipWithoutMount !== false) fail(`disk-full: ${skipWithoutMount}.`);
for (const reason of faults.map((name: FaultName) => reasonAgainst(name, { store }))) if (reason !== undefined) fail(`${reason}.`);

console.log(`${kills} faults (${faults.join(', ')}) on ${servers} × ${store}, seed ${seed} …`);
const result = await runTorture({
  kills,
  seed,
  store,
  servers,
  faults,
  onFault: (count) => {
    if (count % 25 === 0) console.log(`  ${count} of ${kills}`);
  },
});
console.log(report(result, { seed, kills, store, servers }));
process.exitCode = result.violations.length === 0 ? 0 : 1;

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  return Number.isInteger(number) && number >= 0 ? number : fail(`--${name} must be a whole number, not "${text}".`);
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
