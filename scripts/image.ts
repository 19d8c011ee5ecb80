// `npm run image`: builds the image that sandboxes start from, through the container engine's own builder.
// `npm start` makes the default one by itself; the one with the real Claude agent is made here, by hand,
// because its program is proprietary and is never shipped. `--server` makes the image of the server itself as well.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { PROBLEMS } from '@cloister/api';
import { buildRunner } from '../packages/agent-runner/build.ts';
import { findAssets } from '../packages/server/src/assets.ts';
import { isPlatformError } from '../packages/server/src/base/errors.ts';
import { silentLogger } from '../packages/server/src/base/log.ts';
import { loadConfig } from '../packages/server/src/config.ts';
import { ensureSandboxImage, ensureServerImage, SERVER_IMAGE_TAG, sandboxImageTag } from '../packages/server/src/runtime/image.ts';
import { selectRuntime } from '../packages/server/src/runtime/select.ts';

const HELP = `Usage: npm run image -- [--server] [--harness builtin|claude] [--force]

  --harness claude   the variant with the Claude agent (for yourself only: its program must not be published)
  --server           the image of the server and its socket broker too, for docker-compose.yml; the server inside builds no images
  --force            build again without the engine's cache, though nothing has changed
  --quiet            print progress only when there is something to build

DOCKER_HOST names the engine, CLOISTER_SANDBOX_IMAGE the tag of the default variant.
Exit codes: 0 built or up to date, 1 failed, 2 wrong command line, 3 no container engine answers.
`;

const ROOT = path.resolve(import.meta.dirname, '..');
const DIST = path.join(ROOT, 'packages', 'server', 'dist');
const EXIT = { failed: 1, usage: 2, noEngine: 3 } as const;
const VARIANTS = { builtin: 'default', claude: 'claude' } as const;

async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: {
      harness: { type: 'string', default: 'builtin' },
      server: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (options.harness !== 'builtin' && options.harness !== 'claude') {
    console.error(`There is no image for the harness "${options.harness}".\n\n${HELP}`);
    return EXIT.usage;
  }
  const variant = VARIANTS[options.harness];
  const { dockerHost, dockerCertPath, runtimeDir, sandboxImage, runtime } = loadConfig();
  const tag = variant === 'default' ? (sandboxImage ?? sandboxImageTag(variant)) : sandboxImageTag(variant);
  // The server's bundle holds the sandbox's programs as well.
  if (options.server && !buildAll()) return EXIT.failed;
  const started = performance.now();
  if (!options.server) await buildRunner();
  const assets = findAssets();
  const choice = runtime === 'docker' || runtime === 'podman' ? runtime : 'auto';
  const { driver, engine } = await selectRuntime({ choice, dockerHost, dockerCertPath, runtimeDir, log: silentLogger });
  await driver.close();
  const print = (line: string) => console.log(`  ${line}`);
  const common = { engine, force: options.force, onProgress: print };
  const images = [
    { tag, make: () => ensureSandboxImage({ ...common, variant, tag, recipeDir: assets.sandboxImage, runnerDir: assets.sandboxRunner }) },
    ...(options.server
      ? [{ tag: SERVER_IMAGE_TAG, make: () => ensureServerImage({ ...common, tag: SERVER_IMAGE_TAG, recipeDir: ROOT, distDir: DIST }) }]
      : []),
  ];
  for (const image of images) {
    const { isBuilt } = await image.make();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    if (isBuilt || !options.quiet) console.log(isBuilt ? `Built ${image.tag} in ${seconds} s.` : `${image.tag} is up to date.`);
  }
  return 0;
}

function buildAll(): boolean {
  const build = spawnSync(process.execPath, [path.join(ROOT, 'scripts', 'build.ts')], { stdio: 'inherit' });
  return build.status === 0;
}

function report(error: unknown): number {
  if (isPlatformError(error)) {
    console.error(`${error.detail}\nFix: ${PROBLEMS[error.code].fix}`);
    return error.code === 'runtime_unreachable' ? EXIT.noEngine : EXIT.failed;
  }
  if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
    console.error(`${error.message}\n\n${HELP}`);
    return EXIT.usage;
  }
  throw error;
}

process.exitCode = await main().catch(report);
