// `npm run image`: builds the image that sandboxes start from, through the container engine's own builder.
// `npm start` makes the default one by itself; the one with the real Claude agent is made here, by hand,
// because its program is proprietary and is never shipped.
import { parseArgs } from 'node:util';
import { PROBLEMS } from '@cloister/api';
import { buildRunner } from '../packages/agent-runner/build.ts';
import { findAssets } from '../packages/server/src/assets.ts';
import { isPlatformError } from '../packages/server/src/base/errors.ts';
import { silentLogger } from '../packages/server/src/base/log.ts';
import { loadConfig } from '../packages/server/src/config.ts';
import { ensureSandboxImage, sandboxImageTag } from '../packages/server/src/runtime/image.ts';
import { selectRuntime } from '../packages/server/src/runtime/select.ts';

const HELP = `Usage: npm run image -- [--harness builtin|claude] [--force]

  --harness claude   the variant with the Claude agent (for yourself only: its program must not be published)
  --force            build again without the engine's cache, though nothing has changed
  --quiet            print progress only when there is something to build

DOCKER_HOST names the engine, CLOISTER_SANDBOX_IMAGE the tag of the default variant.
Exit codes: 0 built or up to date, 1 failed, 2 wrong command line, 3 no container engine answers.
`;

const EXIT = { failed: 1, usage: 2, noEngine: 3 } as const;
const VARIANTS = { builtin: 'default', claude: 'claude' } as const;

async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: {
      harness: { type: 'string', default: 'builtin' },
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
  const started = performance.now();
  await buildRunner();
  const assets = findAssets();
  const choice = runtime === 'docker' || runtime === 'podman' ? runtime : 'auto';
  const { driver, engine } = await selectRuntime({ choice, dockerHost, dockerCertPath, runtimeDir, log: silentLogger });
  await driver.close();
  const { isBuilt } = await ensureSandboxImage({
    variant,
    tag,
    engine,
    recipeDir: assets.sandboxImage,
    runnerDir: assets.sandboxRunner,
    force: options.force,
    onProgress: (line) => console.log(`  ${line}`),
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (isBuilt || !options.quiet) console.log(isBuilt ? `Built ${tag} in ${seconds} s.` : `${tag} is up to date.`);
  return 0;
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
