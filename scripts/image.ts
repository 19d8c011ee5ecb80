// `npm run image`: builds the image that sandboxes start from, through the container engine's own builder.
// `npm start` makes the default one by itself; the others are made here, by hand. The one with the real Claude agent
// is never shipped, because its program is proprietary. `--server` makes the image of the server itself as well.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { PROBLEMS } from '@cloister/api';
import { buildRunner } from '../packages/agent-runner/build.ts';
import { findAssets } from '../packages/server/src/assets.ts';
import { isPlatformError } from '../packages/server/src/base/errors.ts';
import { silentLogger } from '../packages/server/src/base/log.ts';
import { loadConfig } from '../packages/server/src/config.ts';
import {
  ensureSandboxImage,
  ensureServerImage,
  SANDBOX_IMAGE_VARIANTS,
  type SandboxImageVariant,
  SERVER_IMAGE_TAG,
  sandboxImageTag,
} from '../packages/server/src/runtime/image.ts';
import { selectRuntime } from '../packages/server/src/runtime/select.ts';

const HELP = `Usage: npm run image -- [--variant minimal|default|full] [--harness claude] [--server] [--force]

  --variant          minimal: the built-in agent alone, fetches nothing; default: with git, Python, ripgrep, jq, curl;
                     full: with Chromium and Playwright too
  --harness claude   the variant with the Claude agent (for yourself only: its program must not be published)
  --base-image NAME  what the recipe begins from; kept for later builds of that image
  --server           the image of the server and its socket broker too, for docker-compose.yml; the server inside builds no images
  --force            build again without the engine's cache, though nothing has changed
  --quiet            print progress only when there is something to build

DOCKER_HOST names the engine, CLOISTER_SANDBOX_IMAGE the tag of the default variant. The others are named
after it: cloister-sandbox:<version>-full.
Exit codes: 0 built or up to date, 1 failed, 2 wrong command line, 3 no container engine answers.
`;

const ROOT = path.resolve(import.meta.dirname, '..');
const DIST = path.join(ROOT, 'packages', 'server', 'dist');
const EXIT = { failed: 1, usage: 2, noEngine: 3 } as const;

async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: {
      variant: { type: 'string' },
      harness: { type: 'string' },
      'base-image': { type: 'string' },
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
  const variant = variantOf(options);
  if (variant === undefined) {
    console.error(`There is no such image.\n\n${HELP}`);
    return EXIT.usage;
  }
  const { dockerHost, dockerCertPath, runtimeDir, sandboxImage, runtime } = loadConfig();
  const tag = tagOf(variant, sandboxImage);
  // The server's bundle holds the sandbox's programs as well.
  if (options.server && !buildAll()) return EXIT.failed;
  const started = performance.now();
  if (!options.server) await buildRunner();
  const assets = findAssets();
  const choice = runtime === 'docker' || runtime === 'podman' ? runtime : 'auto';
  const { driver, engine } = await selectRuntime({ choice, dockerHost, dockerCertPath, runtimeDir, log: silentLogger });
  await driver.close();
  const print = (line: string) => console.log(`  ${line}`);
  const common = { engine, force: options.force, baseImage: options['base-image'], onProgress: print };
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

/** What the command line asks for; undefined when there is nothing like it. */
function variantOf(asked: { readonly variant?: string; readonly harness?: string }): SandboxImageVariant | undefined {
  if (asked.harness !== undefined && asked.harness !== 'builtin' && asked.harness !== 'claude') return undefined;
  if (asked.harness === 'claude') return asked.variant === undefined || asked.variant === 'claude' ? 'claude' : undefined;
  return SANDBOX_IMAGE_VARIANTS.find((one) => one === (asked.variant ?? 'default'));
}

/** Who has set another variant as their sandbox image does not want it overwritten by the default one. */
function tagOf(variant: SandboxImageVariant, configured: string | undefined): string {
  const isVariant = SANDBOX_IMAGE_VARIANTS.some((one) => sandboxImageTag(one) === configured);
  return variant === 'default' && configured !== undefined && !isVariant ? configured : sandboxImageTag(variant);
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
