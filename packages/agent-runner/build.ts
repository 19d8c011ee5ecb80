// Bundles the programs of the sandbox, each into one file that runs without node_modules.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ENTRIES = {
  builtin: new URL('./src/builtin/main.ts', import.meta.url),
  forwarder: new URL('./src/forwarder/preload.ts', import.meta.url),
  supervisor: new URL('./src/supervisor/main.ts', import.meta.url),
};

/** CommonJS dependencies inside the bundle call `require`; a short name would clash with minified code. */
const REQUIRE_BANNER =
  "import { createRequire as __nodeCreateRequire } from 'node:module'; const require = __nodeCreateRequire(import.meta.url);";

/** Writes `dist/builtin.mjs`, `dist/forwarder.mjs` and `dist/supervisor.mjs`. */
export async function buildRunner(): Promise<void> {
  await build({
    entryPoints: Object.fromEntries(Object.entries(ENTRIES).map(([name, url]) => [name, fileURLToPath(url)])),
    outdir: path.join(import.meta.dirname, 'dist'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
    banner: { js: REQUIRE_BANNER },
  });
}

if (import.meta.main) await buildRunner();
