// Builds what runs without the repository: one file for the server and its command line, the programs
// of the sandbox, the dashboard. Development needs none of it; Node runs the sources.
import { cp, mkdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { buildRunner } from '../packages/agent-runner/build.ts';
import { buildDashboard, DASHBOARD_DIST } from '../packages/dashboard/build.ts';

const root = path.resolve(import.meta.dirname, '..');
const packages = path.join(root, 'packages');
const serverDist = path.join(packages, 'server', 'dist');
const assets = path.join(serverDist, 'assets');

/** CommonJS dependencies inside the bundle call `require`; a short name would clash with minified code. */
const REQUIRE_BANNER =
  "import { createRequire as __nodeCreateRequire } from 'node:module'; const require = __nodeCreateRequire(import.meta.url);";

async function buildServer(): Promise<void> {
  await build({
    bundle: true,
    format: 'esm',
    logLevel: 'warning',
    legalComments: 'none',
    sourcemap: 'linked',
    entryPoints: [path.join(packages, 'server', 'src', 'cli', 'main.ts')],
    outfile: path.join(serverDist, 'cloister.mjs'),
    platform: 'node',
    target: 'node24',
    banner: { js: REQUIRE_BANNER },
  });
}

/** Puts beside the bundle the files that the server reads at run time; `assets.ts` knows both places. */
async function collectAssets(): Promise<void> {
  const runner = path.join(packages, 'agent-runner');
  // A file that is no longer made would change the image.
  await rm(path.join(assets, 'sandbox-image'), { recursive: true, force: true });
  await Promise.all([
    cp(path.join(packages, 'server', 'vendor', 'rapidoc'), path.join(assets, 'docs'), { recursive: true }),
    cp(DASHBOARD_DIST, path.join(assets, 'dashboard'), { recursive: true }),
    cp(path.join(runner, 'image'), path.join(assets, 'sandbox-image'), { recursive: true }),
  ]);
  // After its parent: two copies that make the same directory at once collide.
  await cp(path.join(runner, 'dist'), path.join(assets, 'sandbox-image', 'runner'), { recursive: true });
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({ options: { quiet: { type: 'boolean', default: false } } });
  const started = performance.now();
  // Not removed first: a server that runs from these files keeps finding its page.
  await mkdir(assets, { recursive: true });
  await Promise.all([buildServer(), buildDashboard(), buildRunner()]);
  await collectAssets();
  if (options.quiet) return;
  const { size } = await stat(path.join(serverDist, 'cloister.mjs'));
  console.log(
    `Built ${path.relative(root, serverDist)} (${Math.round(size / 1024)} KiB) in ${Math.round(performance.now() - started)} ms.`,
  );
}

try {
  await main();
} catch (error) {
  // esbuild has printed what is wrong and where.
  if (!(error instanceof Error && 'errors' in error)) throw error;
  process.exitCode = 1;
}
