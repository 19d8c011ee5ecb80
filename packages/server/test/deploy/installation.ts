import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import https from 'node:https';
import path from 'node:path';
import { promisify } from 'node:util';
import { createClient } from '@cloister/api';
import { freePort } from '../../../../test/support/free-port.ts';
import { newUnique } from '../../src/base/ids.ts';
import { containersOf, docker } from '../support/engine.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../../../..');
const LIMITS = { maxBuffer: 64 * 1024 ** 2, timeout: 400_000 };

/** A clone of the repository as a user has it, in which Cloister is started by `docker-start.sh`. */
export interface Installation extends AsyncDisposable {
  readonly directory: string;
  readonly project: string;
  /** Runs the start script; what it printed, or an error with it. */
  script(...args: string[]): Promise<string>;
  compose(...args: string[]): Promise<string>;
  /** A line `name=value` more in `.env`. */
  set(name: string, value: string): Promise<void>;
  setting(name: string): Promise<string>;
  url(): Promise<string>;
  client(): Promise<ReturnType<typeof createClient>>;
}

export async function newInstallation(settings: Readonly<Record<string, string>>): Promise<Installation> {
  const directory = await mkdtemp('/var/tmp/cloister-deploy-');
  await copySources(directory);
  const project = `clo${newUnique().toLowerCase()}`;
  const file = path.join(directory, '.env');
  const set = (name: string, value: string) => appendFile(file, `${name}=${value}\n`, { mode: 0o600 });
  const own = { COMPOSE_PROJECT_NAME: project, CLOISTER_PORT: String(await freePort()), WARM_POOL_MAX: '0', ...settings };
  for (const [name, value] of Object.entries(own)) await set(name, value);
  const inDirectory = { cwd: directory, ...LIMITS, env: environment() };
  const setting = async (name: string) =>
    (await readFile(file, 'utf8'))
      .split('\n')
      .findLast((line) => line.startsWith(`${name}=`))
      ?.slice(name.length + 1) ?? '';
  const url = async () => `http://127.0.0.1:${await setting('CLOISTER_PORT')}`;
  const compose = async (...args: string[]) => (await run('docker-compose', args, inDirectory)).stdout;
  return {
    directory,
    project,
    script: async (...args) => (await run('./docker-start.sh', args, inDirectory)).stdout,
    compose,
    set,
    setting,
    url,
    client: async () => createClient({ url: await url(), key: await setting('CLOISTER_ADMIN_KEY') }),
    async [Symbol.asyncDispose]() {
      await compose('down', '--volumes', '--remove-orphans').catch(() => undefined); // nothing was started
      const left = await containersOf(`com.docker.compose.project=${project}`);
      if (left.length > 0) await docker('rm', '-fv', ...left);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Nothing of this process's settings: Compose would take them for its own. */
function environment(): Record<string, string> {
  return { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '/root' };
}

/** What Git has or would take, so that nothing built or installed here comes along. */
async function copySources(directory: string): Promise<void> {
  const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'], {
    cwd: ROOT,
    ...LIMITS,
  });
  const { stdout: deleted } = await run('git', ['ls-files', '-z', '--deleted'], { cwd: ROOT, ...LIMITS });
  const gone = new Set(deleted.split('\0'));
  const files = stdout.split('\0').filter((name) => name !== '' && !gone.has(name));
  const pack = spawn('tar', ['-c', '--null', '--no-recursion', '-T', '-'], { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] });
  const unpack = spawn('tar', ['-x'], { cwd: directory, stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(unpack, 'exit');
  pack.stdout.pipe(unpack.stdin);
  pack.stdin.end(files.join('\0'));
  const [code] = await ended;
  if (code !== 0) throw new Error('the sources could not be copied');
}

/** Follows an event stream through a TLS proxy until `isEnough`, then hangs up; answers the frames' ids and all text. */
export async function followOverTls(
  url: string,
  headers: Readonly<Record<string, string>>,
  isEnough: (text: string) => boolean,
): Promise<{ readonly text: string; readonly lastId: string }> {
  const request = https.get(url, { headers, rejectUnauthorized: false, servername: 'localhost' });
  const [response] = await once(request, 'response', { signal: AbortSignal.timeout(60_000) });
  let text = '';
  for await (const chunk of response) {
    text += String(chunk);
    if (isEnough(text)) break;
  }
  request.destroy();
  if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${text}`);
  return { text, lastId: [...text.matchAll(/^id: ?(\d+)$/gm)].at(-1)?.[1] ?? '' };
}
