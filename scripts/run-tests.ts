// `npm test`: everything that can be verified on this machine, in a fresh clone too, and at the end a list
// of what could not run here. In CI (CI=true) nothing may be on it but what a runtime is known not to do.
//   npm test -- --only <text>   only the test files whose path contains the text, and no static checks
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { isKnownSkip } from '../packages/server/src/runtime/conformance/known-skips.ts';
import type { TestRecord } from './notes-reporter.ts';
import { root, run, runScript, SetupError } from './setup.mjs';

const FILE_TIMEOUT_MS = 15 * 60_000;
/** What scripts/image.ts answers where no container engine is. */
const EXIT_NO_ENGINE = 3;
const SHOWN_FILES = 15;
/** Hundreds of processes load the same sources: each file is stripped of its types and compiled once. */
const COMPILE_CACHE = path.join(root, 'node_modules', '.cache', 'compile');
/** Settings of the person who runs the tests, which must not change what the tests see. */
const PERSONAL = /^(CLOISTER_(?!TEST_)|ANTHROPIC_|CLAUDE_|OPENAI_|GEMINI_|DEEPSEEK_|XAI_|LOG_|(HOST|PORT|DATA_DIR)$)/;

type Skip = Extract<TestRecord, { type: 'skip' }>;
type FileTime = Extract<TestRecord, { type: 'file' }>;

await runScript('npm test', async () => {
  const { values: options } = parseArgs({ options: { only: { type: 'string' } } });
  const files = testFiles(options.only);
  const failures: string[] = [];
  if (options.only === undefined && (await runNode(['scripts/check.ts'])) !== 0) failures.push('static checks');
  if ((await runNode(['scripts/build.ts'])) !== 0) throw new SetupError('the build failed, see above.');
  failures.push(...(await buildImages()));
  if (options.only === undefined && (await runNode(['scripts/report.ts'])) !== 0) failures.push('sizes');
  const { failed, ran, skips, times } = await runTests(files);
  if (failed) failures.push('tests');
  if (ran === 0) failures.push('no test ran');
  const unlisted = skips.filter((skip) => !isKnownSkip(skip)).length;
  if (process.env.CI === 'true' && unlisted > 0) failures.push(`${unlisted} tests were skipped, and CI runs all of them`);
  printTimes(times);
  printSkips(skips);
  console.log(failures.length === 0 ? '\nEverything that ran is green.' : `\nFAILED: ${failures.join(', ')}`);
  return failures.length === 0 ? 0 : 1;
});

/** Both variants of the sandbox image, where an engine answers; the tests that need them skip elsewhere. */
async function buildImages(): Promise<string[]> {
  const code = await runNode(['scripts/image.ts']);
  if (code === EXIT_NO_ENGINE) return [];
  if (code !== 0) return ['sandbox image'];
  return (await runNode(['scripts/image.ts', '--harness', 'claude'])) === 0 ? [] : ['sandbox image with Claude'];
}

interface Outcome {
  readonly failed: boolean;
  readonly ran: number;
  readonly skips: readonly Skip[];
  readonly times: readonly FileTime[];
}

async function runTests(files: readonly string[]): Promise<Outcome> {
  const folder = mkdtempSync(path.join(tmpdir(), 'cloister-test-'));
  const report = path.join(folder, 'report.ndjson');
  try {
    const code = await runNode([
      '--test',
      `--test-concurrency=${Math.max(2, Math.floor(availableParallelism() / 2))}`,
      `--test-timeout=${FILE_TIMEOUT_MS}`,
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      '--test-reporter=./scripts/notes-reporter.ts',
      `--test-reporter-destination=${report}`,
      ...files,
    ]);
    const lines = readFileSync(report, 'utf8').split('\n').filter(Boolean);
    const records = lines.map((line): TestRecord => JSON.parse(line));
    return {
      failed: code !== 0,
      ran: records.reduce((sum, record) => sum + (record.type === 'total' ? record.ran : 0), 0),
      skips: records.filter((record) => record.type === 'skip'),
      times: records.filter((record) => record.type === 'file'),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where to look when the whole takes too long. */
function printTimes(times: readonly FileTime[]): void {
  console.log('\nLongest test files');
  for (const { file, seconds } of times.toSorted((a, b) => b.seconds - a.seconds).slice(0, SHOWN_FILES))
    console.log(`  ${seconds.toFixed(0).padStart(4)} s  ${file}`);
}

function printSkips(skips: readonly Skip[]): void {
  console.log('\nWhat could not run here:');
  if (skips.length === 0) console.log('  nothing: everything ran');
  for (const [reason, tests] of Map.groupBy(skips, (skip) => skip.reason)) {
    console.log(`  ${reason}`);
    for (const { name, file } of tests) console.log(`    - ${name} (${file})`);
  }
}

/** End-to-end files first: they take longest, and the short ones fill the gaps behind them. */
function testFiles(only: string | undefined): string[] {
  const found = globSync(['packages/*/{src,test}/**/*.test.ts', 'test/**/*.test.ts', 'scripts/**/*.test.ts'], { cwd: root });
  const files = found.filter((file) => only === undefined || file.includes(only));
  if (files.length === 0) throw new SetupError(`no test file's path contains "${only}".`);
  const rank = (file: string) => (/^test\/|\.(e2e|docker)\.test\.ts$/.test(file) ? 0 : 1);
  return files.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

async function runNode(args: readonly string[]): Promise<number> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !PERSONAL.test(name)));
  const code = await run(process.execPath, args, { env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...env } });
  if (code >= 128) throw new SetupError('interrupted.');
  return code;
}
