// Measures the numbers that the design promises, on this machine, in one run: `npm run bench [-- --only NAME] [--json]`.
import { parseArgs } from 'node:util';
import { engineMissing } from '../../packages/server/test/support/engine.ts';
import { benchAccept } from './accept.ts';
import { benchColdStart } from './cold-start.ts';
import { benchDeliver } from './deliver.ts';
import { benchFirstToken, benchFirstTokenClaude } from './first-token.ts';
import { benchIdle } from './idle.ts';
import { printTable, type Row } from './table.ts';

const BENCHES: readonly { readonly name: string; readonly needsEngine: boolean; readonly run: () => Promise<readonly Row[]> }[] = [
  { name: 'accept', needsEngine: false, run: benchAccept },
  { name: 'deliver', needsEngine: false, run: benchDeliver },
  { name: 'idle', needsEngine: false, run: benchIdle },
  { name: 'cold-start', needsEngine: true, run: benchColdStart },
  { name: 'first-token', needsEngine: true, run: () => benchFirstToken() },
  { name: 'first-token-claude', needsEngine: true, run: benchFirstTokenClaude },
];

const { values: options } = parseArgs({ options: { only: { type: 'string' }, json: { type: 'boolean', default: false } } });
const missing = await engineMissing();
const rows: Row[] = [];
for (const bench of BENCHES) {
  if (options.only !== undefined && !bench.name.includes(options.only)) continue;
  if (bench.needsEngine && missing !== false) rows.push({ measure: bench.name, result: missing, must: '', goal: '', isMet: undefined });
  else {
    if (!options.json) console.error(`… ${bench.name}`);
    rows.push(...(await bench.run()));
  }
}
if (options.json) console.log(JSON.stringify(rows, null, 2));
else printTable(rows);
process.exitCode = rows.every((row) => row.isMet !== false) ? 0 : 1;
