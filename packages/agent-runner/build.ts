// Bundles the programs of the sandbox so that they run without node_modules. The built-in agent is one file and
// chunks beside it: of its two megabytes it needs a quarter to answer its first request, and compiling the rest
// would take longer than everything else until then.
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { type BuildOptions, build } from 'esbuild';

const SOURCE = path.join(import.meta.dirname, 'src');
const DIST = path.join(import.meta.dirname, 'dist');

/** CommonJS dependencies inside the bundle call `require`; a short name would clash with minified code. */
const REQUIRE_BANNER =
  "import { createRequire as __nodeCreateRequire } from 'node:module'; const require = __nodeCreateRequire(import.meta.url);";

const COMMON: BuildOptions = {
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  minify: true,
  legalComments: 'none',
  logLevel: 'warning',
  banner: { js: REQUIRE_BANNER },
};

/** Writes `builtin.mjs` with its `chunk-*.mjs`, `forwarder.mjs` and `supervisor.mjs` to `dist` or elsewhere. */
export async function buildRunner(outdir: string = DIST): Promise<void> {
  const [agent] = await Promise.all([
    build({
      ...COMMON,
      outdir,
      entryPoints: { builtin: path.join(SOURCE, 'builtin', 'main.ts') },
      splitting: true,
      chunkNames: 'chunk-[hash]',
      metafile: true,
    }),
    build({
      ...COMMON,
      outdir,
      entryPoints: { forwarder: path.join(SOURCE, 'forwarder', 'preload.ts'), supervisor: path.join(SOURCE, 'supervisor', 'main.ts') },
    }),
  ]);
  const written = new Set(Object.keys(agent.metafile.outputs).map((file) => path.basename(file)));
  const stale = (await readdir(outdir)).filter((file) => file.startsWith('chunk-') && !written.has(file));
  await Promise.all(stale.map((file) => rm(path.join(outdir, file), { force: true })));
}

if (import.meta.main) await buildRunner();
