import { readFileSync } from 'node:fs';
import { startBenchServer } from './server.ts';
import type { Row } from './table.ts';

/** Memory of the server, run from its sources, with nothing to do; the bundle that `npm start` runs needs less. */
export async function benchIdle(): Promise<readonly Row[]> {
  await using bench = await startBenchServer({ CLOISTER_RUNTIME: 'fake' });
  await bench.newSessions(10);
  const status = readFileSync(`/proc/${bench.server.pid()}/status`, 'utf8');
  const mib = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1024;
  return [{ measure: 'idle server', result: `${mib.toFixed(0)} MiB RSS`, must: '≤ 150 MB', goal: '≤ 100 MB', isMet: mib <= 143 }];
}
