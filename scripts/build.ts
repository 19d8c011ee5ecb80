// Builds what runs without the repository: the server and its command line, the programs of the sandbox, the dashboard. Development needs none of it; Node runs the sources.
import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build, type Plugin } from 'esbuild';
import { buildRunner } from '../packages/agent-runner/build.ts';
import { buildDashboard, DASHBOARD_DIST } from '../packages/dashboard/build.ts';

const root = path.resolve(import.meta.dirname, '..');
const packages = path.join(root, 'packages');
const serverDist = path.join(packages, 'server', 'dist');
const assets = path.join(serverDist, 'assets');

/** CommonJS dependencies inside the bundle call `require`; a short name would clash with minified code. */
const REQUIRE_BANNER =
  "import { createRequire as __nodeCreateRequire } from 'node:module'; const require = __nodeCreateRequire(import.meta.url);";

/** Messages of the schema library in forty languages, of which the server speaks one: half of what each command would load. */
const ONE_LANGUAGE: Plugin = {
  name: 'one-language',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
      loader: 'js',
    }));
  },
};

/** `cloister.mjs` and the chunks that it loads as a command needs them. Answers their size in bytes. */
async function buildServer(): Promise<number> {
  const { metafile } = await build({
    // Paths in the chunks, and so their names, are the same wherever it is run from.
    absWorkingDir: root,
    bundle: true,
    format: 'esm',
    splitting: true,
    chunkNames: 'chunk-[hash]',
    outExtension: { '.js': '.mjs' },
    logLevel: 'warning',
    legalComments: 'none',
    sourcemap: 'linked',
    metafile: true,
    entryPoints: { cloister: path.join(packages, 'server', 'src', 'cli', 'main.ts') },
    outdir: serverDist,
    platform: 'node',
    target: 'node24',
    banner: { js: REQUIRE_BANNER },
    plugins: [ONE_LANGUAGE],
  });
  const outputs = Object.entries(metafile.outputs);
  const written = new Set(outputs.map(([file]) => path.basename(file)));
  // A build of the same sources writes the same names, so a server that runs keeps the files it may yet load.
  const stale = (await readdir(serverDist)).filter((file) => /^chunk-.*\.mjs(\.map)?$/.test(file) && !written.has(file));
  await Promise.all(stale.map((file) => rm(path.join(serverDist, file), { force: true })));
  return outputs.reduce((sum, [file, { bytes }]) => sum + (file.endsWith('.mjs') ? bytes : 0), 0);
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
  const [bytes] = await Promise.all([buildServer(), buildDashboard(), buildRunner()]);
  await collectAssets();
  if (options.quiet) return;
  console.log(
    `Built ${path.relative(root, serverDist)} (${Math.round(bytes / 1024)} KiB) in ${Math.round(performance.now() - started)} ms.`,
  );
}

try {
  await main();
} catch (error) {
  // esbuild has printed what is wrong and where.
  if (!(error instanceof Error && 'errors' in error)) throw error;
  process.exitCode = 1;
}
