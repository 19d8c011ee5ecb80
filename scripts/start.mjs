// `npm start`: everything between a fresh clone and a running server. Arguments go to `cloister serve`.
import { ensureInstalled, requireNode24, root, run, runScript } from './setup.mjs';

await runScript('npm start', async () => {
  await ensureInstalled();
  const node = await requireNode24();
  const built = await run(node, ['scripts/build.ts', '--quiet']);
  if (built !== 0) return built;
  // The server runs where the user is, so that ./data means their ./data.
  return run(node, [`${root}/packages/server/dist/cloister.mjs`, 'serve', ...process.argv.slice(2)], { cwd: process.cwd() });
});
