// Plays a newcomer: clones this repository into an empty directory, starts it as README says, asks the first question,
// and writes what was seen, with times, into docs/newcomer.md. `--only npm` or `--only docker` plays one of the two ways.
// Slow, since it installs and builds everything; never part of the tests.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, loadavg, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs, promisify, stripVTControlCharacters } from 'node:util';

const ROOT = path.resolve(import.meta.dirname, '..');
const PAGE = path.join(ROOT, 'docs/newcomer.md');
const QUESTION = 'run uname -a';
const TIMEOUT_MS = 15 * 60_000;
const run = promisify(execFile);

interface Line {
  readonly atMs: number;
  readonly text: string;
}

interface Step {
  readonly command: string;
  readonly ms: number;
  readonly lines: readonly Line[];
}

interface Play {
  readonly title: string;
  readonly before: string;
  readonly steps: readonly Step[];
}

/** What a new terminal has: nothing of npm's own, and no settings of Cloister. */
function environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const searchPath = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => !folder.includes('node_modules'));
  return { PATH: searchPath.join(path.delimiter), HOME: process.env.HOME ?? '/root', ...more };
}

interface Running {
  readonly lines: readonly Line[];
  /** Ends when a line of the output matches, or the program has ended; an error when that was a failure. */
  until(pattern: RegExp): Promise<Step>;
  ended(): Promise<Step>;
  stop(): Promise<void>;
}

function start(command: string, cwd: string, env: Record<string, string>): Running {
  const began = performance.now();
  const child = spawn('/bin/sh', ['-c', command], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: Line[] = [];
  const waiting = new Set<() => void>();
  const step = (): Step => ({ command, ms: performance.now() - began, lines: [...lines] });
  let rest = '';
  const read = (chunk: Buffer) => {
    const parts = (rest + chunk.toString('utf8')).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) lines.push({ atMs: performance.now() - began, text: stripVTControlCharacters(part) });
    for (const look of waiting) look();
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const closed = once(child, 'close').then(([code]) => Number(code ?? 1));
  const failure = (why: string) => new Error(`${command}: ${why}\n${lines.map(({ text }) => text).join('\n')}`);
  const timeout = () =>
    new Promise<never>((_, reject) => {
      setTimeout(() => reject(failure('it took too long')), TIMEOUT_MS).unref();
    });
  return {
    lines,
    until: (pattern) =>
      Promise.race([
        timeout(),
        closed.then((code) => {
          throw failure(`ended with ${code}`);
        }),
        new Promise<Step>((resolve) => {
          waiting.add(() => {
            if (lines.some(({ text }) => pattern.test(text))) resolve(step());
          });
        }),
      ]),
    ended: () =>
      Promise.race([
        timeout(),
        closed.then((code) => {
          if (code !== 0) throw failure(`ended with ${code}`);
          return step();
        }),
      ]),
    async stop() {
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
      await closed;
    },
  };
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return String(address.port);
}

async function hasImage(tag: string): Promise<boolean> {
  return run('docker', ['image', 'inspect', tag]).then(
    () => true,
    () => false,
  );
}

async function clone(directory: string): Promise<Step> {
  const { command, ms, lines } = await start(`git clone --quiet '${ROOT}' cloister`, directory, environment()).ended();
  return { command: command.replace(`'${ROOT}'`, '<this repository>'), ms, lines };
}

async function playNpm(directory: string): Promise<Play> {
  const hadImage = await hasImage('cloister-sandbox:0.1.0');
  const steps = [await clone(directory)];
  const cwd = path.join(directory, 'cloister');
  const env = environment({ PORT: await freePort() });
  const server = start('npm start', cwd, env);
  try {
    steps.push(await server.until(/admin key/));
    steps.push(await start(`npx cloister agent -m "${QUESTION}"`, cwd, env).ended());
  } finally {
    await server.stop();
  }
  const image = hadImage ? 'a sandbox image of an earlier run on the engine' : 'no sandbox image on the engine';
  return { title: '`npm start`', before: `An empty directory, no packages, ${image}, no key of a provider.`, steps };
}

async function playDocker(directory: string): Promise<Play> {
  const steps = [await clone(directory)];
  const cwd = path.join(directory, 'cloister');
  const project = path
    .basename(directory)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '');
  const images = { CLOISTER_IMAGE: `cloister:${project}`, CLOISTER_SANDBOX_IMAGE: `cloister-sandbox:${project}` };
  // Its own names, so that nothing else on this machine is met or left behind.
  const settings = { ...images, COMPOSE_PROJECT_NAME: project, CLOISTER_PORT: await freePort(), CLOISTER_ADMIN_KEY: '' };
  const own = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(path.join(cwd, '.env'), `${readFileSync(path.join(cwd, '.env.example'), 'utf8')}\n`, { mode: 0o600 });
  appendFileSync(path.join(cwd, '.env'), own.join(''));
  const env = environment();
  try {
    const started = await start('./docker-start.sh', cwd, env).ended();
    steps.push(started);
    const first = started.lines.find(({ text }) => text.startsWith('Try it:'))?.text.replace(/^Try it:\s*/, '');
    if (first === undefined) throw new Error('docker-start.sh names no first command');
    steps.push(await start(first.replace(' exec ', ' exec -T '), cwd, env).ended());
  } finally {
    const compose = (await hasComposePlugin()) ? 'docker compose' : 'docker-compose';
    await start(`${compose} down --volumes --remove-orphans`, cwd, env).ended();
    for (const tag of Object.values(images)) if (await hasImage(tag)) await run('docker', ['image', 'rm', tag]);
  }
  return {
    title: '`./docker-start.sh`',
    before:
      'An empty directory, no image of Cloister on the engine but the base image and what its build cache has, no Node, no key of a provider.',
    steps,
  };
}

async function hasComposePlugin(): Promise<boolean> {
  return run('docker', ['compose', 'version']).then(
    () => true,
    () => false,
  );
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

function sectionOf({ title, before, steps }: Play, directory: string): string {
  const tidy = (text: string) =>
    text
      .replaceAll(directory, '~')
      .replaceAll(/"hostname":"[^"]*"/g, '"hostname":"…"')
      .trimEnd();
  const total = steps.reduce((sum, { ms }) => sum + ms, 0);
  const rows = steps.map(({ command, ms }) => `| \`${command}\` | ${seconds(ms)} |`);
  const transcript = steps.flatMap(({ command, lines }) => [
    `          $ ${command}`,
    ...lines.filter(({ text }) => isTold(text)).map(({ atMs, text }) => `${seconds(atMs).padStart(8)}  ${tidy(text)}`),
  ]);
  return [
    `## ${title}`,
    '',
    before,
    '',
    '| step | took |',
    '|---|---|',
    ...rows,
    `| from nothing to the first answer | **${seconds(total)}** |`,
    '',
    '```text',
    ...transcript,
    '```',
    '',
  ].join('\n');
}

/** Not of npm's complaints about its user's own settings. */
const isTold = (text: string) => text.trim() !== '' && !text.startsWith('npm warn Unknown user config');

/** The part of the page under this heading, so that one way can be played without the other. */
function formerSection(title: string): string {
  if (!existsSync(PAGE)) return '';
  const part = readFileSync(PAGE, 'utf8')
    .split(/^(?=## )/m)
    .find((one) => one.startsWith(`## ${title}\n`));
  return part === undefined ? '' : `${part.trimEnd()}\n`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { only: { type: 'string' } } });
  const plays = [
    { name: 'npm', title: '`npm start`', play: playNpm },
    { name: 'docker', title: '`./docker-start.sh`', play: playDocker },
  ];
  const machine = `${availableParallelism()} cores, ${Math.round(totalmem() / 1024 ** 3)} GB of memory`;
  const load = loadavg()[0]?.toFixed(1);
  const sections: string[] = [];
  for (const { name, title, play } of plays) {
    if (values.only !== undefined && values.only !== name) {
      sections.push(formerSection(title));
      continue;
    }
    const directory = mkdtempSync('/var/tmp/cloister-newcomer-');
    try {
      const section = sectionOf(await play(directory), directory);
      sections.push(section.replace(`## ${title}\n`, `## ${title}\n\nA machine of ${machine}, with a load of ${load} of other work.\n`));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
  const head = [
    '# How long does it take, from nothing to the first answer?',
    '',
    'What `npx node scripts/newcomer.ts` saw, which clones the repository into an empty directory, starts it and asks one question. The times before the lines count from the start of their command.',
    '',
  ];
  writeFileSync(PAGE, `${[...head, ...sections.filter((one) => one !== '')].join('\n').trimEnd()}\n`);
  console.log(`Wrote ${path.relative(ROOT, PAGE)}.`);
}

if (import.meta.main) await main();
