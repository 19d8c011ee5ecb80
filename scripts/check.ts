// `npm run check`: every static check in one command: format, lint, types, dependency rules, unused code,
// generated files. `-- --fix` first mends what can be mended.
import { spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.resolve(import.meta.dirname, '..');
const bin = (name: string) => path.join(root, 'node_modules', '.bin', name);

interface Step {
  readonly name: string;
  readonly args: readonly string[];
}

interface Outcome {
  readonly code: number;
  readonly output: string;
  readonly ms: number;
}

/** The slow ones first, so that the short ones fill the gaps. */
const STEPS: readonly Step[] = [
  { name: 'unused code', args: [bin('knip'), '--no-progress'] },
  { name: 'lint (types)', args: [bin('oxlint'), '--type-aware', '--quiet'] },
  { name: 'format, lint', args: [bin('biome'), 'ci', '--colors=off', '.'] },
  { name: 'types', args: [bin('tsc'), '-p', '.'] },
  { name: 'types (dashboard)', args: [bin('tsc'), '-p', 'packages/dashboard'] },
  { name: 'import rules', args: ['scripts/import-rules.ts'] },
  { name: 'licences', args: ['scripts/licences.ts'] },
  ...generators(
    'scripts/problem-pages.ts',
    'scripts/openapi.ts',
    'scripts/env-example.ts',
    'scripts/check-docs.ts',
    'scripts/check-translations.ts',
  ),
];

/** Scripts that write documents from the code and with `--check` only say whether they are fresh. */
function generators(...scripts: readonly string[]): Step[] {
  return scripts
    .filter((script) => existsSync(path.join(root, script)))
    .map((script) => ({ name: path.basename(script, '.ts').replaceAll('-', ' '), args: [script, '--check'] }));
}

function runNode(args: readonly string[]): Promise<Outcome> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString('utf8').trim(), ms: performance.now() - started });
    });
  });
}

async function runAll(steps: readonly Step[]): Promise<number> {
  const queue = [...steps];
  let failed = 0;
  const worker = async () => {
    for (let step = queue.shift(); step !== undefined; step = queue.shift()) {
      const { code, output, ms } = await runNode(step.args);
      console.log(`${code === 0 ? 'ok  ' : 'FAIL'} ${step.name.padEnd(18)} ${(ms / 1000).toFixed(1)} s`);
      if (code === 0) continue;
      failed += 1;
      console.log(output.replaceAll(/^/gm, '     '));
    }
  };
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, worker));
  return failed;
}

/** The five longest files and functions: not a failure below the limits, but where the next split is due. */
async function printLongest(): Promise<void> {
  const files = globSync(['packages/*/{src,bin,test}/**/*.{ts,cjs}', '{scripts,test}/**/*.{ts,mjs}'], { cwd: root })
    .map((file) => ({ name: file, lines: readFileSync(path.join(root, file), 'utf8').split('\n').length - 1 }))
    .sort((a, b) => b.lines - a.lines);
  console.log('\nLongest files');
  for (const { name, lines } of files.slice(0, 5)) console.log(`  ${String(lines).padStart(4)} ${name}`);
  const { output } = await runNode([
    bin('oxlint'),
    '-c',
    'scripts/longest.oxlintrc.json',
    '--format=unix',
    '--ignore-pattern=**/*.test.ts',
    '--ignore-pattern=test/**',
  ]);
  const functions = [...output.matchAll(/^(\S+?):(\d+):\d+: (.*?) has too many lines \((\d+)\)/gm)]
    .map(([, file, line, what, lines]) => ({ text: `${file}:${line} ${what}`, lines: Number(lines) }))
    .sort((a, b) => b.lines - a.lines);
  console.log('Longest functions');
  for (const { text, lines } of functions.slice(0, 5)) console.log(`  ${String(lines).padStart(4)} ${text}`);
}

const { values: options } = parseArgs({ options: { fix: { type: 'boolean', default: false } } });
if (options.fix) console.log((await runNode([bin('biome'), 'check', '--write', '--colors=off', '.'])).output);
const failed = await runAll(STEPS);
await printLongest();
console.log(failed === 0 ? '\nAll checks passed.' : `\n${failed} of ${STEPS.length} checks failed.`);
process.exitCode = failed === 0 ? 0 : 1;
