import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { startFakeModel } from '@cloister/fake-model';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { fill } from './fill.ts';
import { type Api, apiOf, type Given, METRICS_TOKEN, PAGES } from './given.ts';
import type { Command } from './pages.ts';
import { assertShape } from './shape.ts';
import { openShell, type Ran, type Shell } from './shell.ts';
import { writeShims } from './shims.ts';

/** Real servers, and for each page a home of its own in which its commands are typed. */
export interface Stage extends AsyncDisposable {
  play(page: string, commands: readonly Command[]): Promise<void>;
}

const NOCLAW_KEY = 'a-key-that-noclaw-had-before';
const PROVIDER_KEY = 'sk-ant-of-a-provider-0123456789';
/** curl's code for an answer of 400 or more. */
const CURL_REFUSED = 22;
const run = promisify(execFile);

/** What ends only when it is told to, and what it has to show until then. */
const ENDLESS: readonly (readonly [RegExp, RegExp])[] = [
  [/\bnpm start$/, /Ctrl-C stops it/],
  [/ (-f|--follow)\b/, /\S/],
  [/events\/stream"?( -H .*)?$/, /^:|^event:/m],
];

export async function openStage(hasEngine: boolean): Promise<Stage> {
  await using opened = new AsyncDisposableStack();
  const root = await mkdtemp(path.join(os.tmpdir(), 'cloister-docs-'));
  opened.defer(() => rm(root, { recursive: true, force: true }));
  const model = await startFakeModel({ requireKey: PROVIDER_KEY });
  opened.defer(() => model.close());
  const logFile = path.join(root, 'cloister.log');
  const common = {
    CLOISTER_MODEL: 'demo',
    ANTHROPIC_API_KEY: PROVIDER_KEY,
    ANTHROPIC_BASE_URL: model.url,
    EGRESS_ALLOW_PRIVATE: '127.0.0.0/8',
    NOCLAW_API_KEY: NOCLAW_KEY,
    METRICS_TOKEN,
    MAX_TURN_ATTEMPTS: '1',
    DRAIN_SECONDS: '1',
  };
  const fake = {
    CLOISTER_RUNTIME: 'fake',
    LOG_FILE: logFile,
    CLAWHQ_IMAGE: 'any',
    CLAWHQ_CLAUDE_API_KEY: PROVIDER_KEY,
    SERVICE_PORTS: '19240-19249',
  };
  const start = async (env: Readonly<Record<string, string>>) => {
    const server = opened.use(await startServerProcess({ env: { ...common, ...env }, readyMs: 300_000 }));
    // The servers have their key from the environment; a reader's is where the first start put it.
    await writeFile(path.join(server.dataDir, 'admin.key'), `${ADMIN_KEY}\n`, { mode: 0o600 });
    return server;
  };
  const servers = await Promise.all([start(fake), ...(hasEngine ? [start({ CLOISTER_RUNTIME: 'docker' })] : [])]);
  const systemCurl = (await run('sh', ['-c', 'command -v curl'])).stdout.trim();
  await writeShims(path.join(root, 'bin'), root);
  const closing = opened.move();

  return {
    async play(page, commands) {
      const server = servers[PAGES[page]?.runtime === 'docker' ? 1 : 0];
      assert.ok(server !== undefined);
      const home = path.join(root, page.replaceAll(/\W/g, '-'));
      await furnish(home, server, PAGES[page]?.files ?? {});
      const api = apiOf(server.url, logFile);
      const given = (await PAGES[page]?.given?.(api)) ?? {};
      const scratch = `${home}.commands`;
      await mkdir(scratch);
      const shell = await openShell({ cwd: home, scratch, env: environment(server, { root, home, systemCurl, logFile }, given) });
      try {
        await playAll(shell, { page, api, server, home, model: model.url, given, commands });
      } finally {
        await shell.close();
      }
    },
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}

/** The reader's folder: the server's data lie in it, and what the page takes to be there. */
async function furnish(home: string, { dataDir }: ServerProcess, files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(path.join(home, 'mnt/backups'), { recursive: true });
  await symlink(dataDir, path.join(home, 'data'));
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(home, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
  }
}

function environment(
  { url }: ServerProcess,
  { root, home, systemCurl, logFile }: Readonly<Record<'root' | 'home' | 'systemCurl' | 'logFile', string>>,
  given: Given,
): Record<string, string> {
  const program = programEnvironment();
  return {
    ...program,
    PATH: `${path.join(root, 'bin')}${path.delimiter}${program.PATH ?? ''}`,
    HOME: home,
    SYSTEM_CURL: systemCurl,
    LOG_FILE: logFile,
    CLOISTER_URL: url,
    URL: url,
    KEY: ADMIN_KEY,
    OPERATOR_KEY: ADMIN_KEY,
    NOCLAW_API_KEY: NOCLAW_KEY,
    THEIR_KEY: PROVIDER_KEY,
    ...given.env,
  };
}

interface Scene {
  readonly page: string;
  readonly api: Api;
  readonly model: string;
  readonly server: ServerProcess;
  readonly home: string;
  readonly given: Given;
  readonly commands: readonly Command[];
}

async function playAll(shell: Shell, { page, api, server, home, model, given, commands }: Scene): Promise<void> {
  const here: readonly (readonly [string | RegExp, string])[] = [
    [/https:\/\/agents\.example\.org|http:\/\/(localhost|127\.0\.0\.1):(3000|8000)|(?<=\s)localhost:3000/g, server.url],
    ['/mnt/backups', path.join(home, 'mnt/backups')],
    ['/srv/cloister/data', path.join(home, 'srv/cloister/data')],
    [/head-\d{4}-\d\d-\d\d/g, `head-$(date +%F)`],
    ['_API_KEY=…', `_API_KEY=${PROVIDER_KEY}`],
    ['<model>', 'llama3'],
    [/(?<=--provider anthropic)$/g, ` --base-url ${model}`],
  ];
  const printed = [given.printed ?? ''];
  for (const command of commands) {
    const at = `${page}:${command.line}: ${command.text}`;
    const early = PAGES[page]?.before;
    if (early?.command.test(command.text)) printed.push((await early.given(api)).printed ?? '');
    try {
      const text = fill(command.text, printed, { here });
      const endless = ENDLESS.find(([pattern]) => pattern.test(text));
      const isText = command.shows?.language === 'text';
      const once = isText ? shell.runMerged : shell.run;
      const ran = await (endless === undefined ? once(text) : shell.watch(text, endless[1]));
      printed.push(`${ran.stderr}\n${ran.stdout}`);
      check(command, ran);
    } catch (error) {
      throw new Error(`${at}\n${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
}

function check({ prints, shows }: Command, { code, stdout, stderr }: Ran): void {
  // curl here fails when it is refused; a page that shows the refusal means it.
  const expected = shows?.language === 'json' && /"type": "error"/.test(shows.body) ? CURL_REFUSED : 0;
  assert.equal(code, expected, `it ended with ${code}:\n${stdout}${stderr}`);
  if (prints !== undefined) assertShape(stdout, { language: 'text', body: prints });
  if (shows !== undefined) assertShape(stdout, shows);
}
