// `npm test`, the part that must run on the Node of a fresh clone; the rest is run-tests.ts.
import { ensureInstalled, requireNode24, run, runScript } from './setup.mjs';

await runScript('npm test', async () => {
  await ensureInstalled();
  return run(await requireNode24(), ['scripts/run-tests.ts', ...process.argv.slice(2)]);
});
