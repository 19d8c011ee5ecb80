// What `npm start` and `npm test` do first in a fresh clone: install the packages and find Node 24.
// Plain JavaScript without dependencies, because it must run on Node 20 before anything is installed.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '..');

const MINIMUM_NODE = [24, 15];
const stampFile = path.join(root, 'node_modules', '.cloister-lock');
const packagedNode = path.join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

/** A failure whose message alone tells the user what to do: printed as one line, without a stack. */
export class SetupError extends Error {}

/** Runs a script's `main` and turns its outcome into the exit code. */
export async function runScript(name, main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`${name}: ${error.message}`);
    process.exitCode = 1;
  }
}

/** Installs the locked packages unless exactly these are there already. */
export async function ensureInstalled() {
  const lock = readFileSync(path.join(root, 'package-lock.json'));
  const stamp = `${createHash('sha256').update(lock).digest('hex')} ${process.platform} ${process.arch}\n`;
  if (readText(stampFile) === stamp) return;
  if (!isInstalled(JSON.parse(lock.toString('utf8')))) await install();
  writeFileSync(stampFile, stamp);
}

/** The path of a Node that can run Cloister: the packaged one, else the one that runs this script. */
export async function requireNode24() {
  if (existsSync(packagedNode) && (await run(packagedNode, ['--version'], { stdio: 'ignore' })) === 0) return packagedNode;
  if (isNewEnough(process.versions.node)) return process.execPath;
  throw new SetupError(
    `Cloister needs Node ${MINIMUM_NODE.join('.')} or newer, this is ${process.version}, and the packaged Node is not installed ` +
      '(it comes with an install script, which --ignore-scripts leaves out): run `npm ci --no-ignore-scripts`, or install Node 24.',
  );
}

/** Runs a program on our terminal and resolves to its exit code, 128 + n for a signal. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', ...options });
    const release = forwardSignals(child);
    child.once('error', (error) => {
      release();
      reject(error);
    });
    child.once('exit', (code, signal) => {
      release();
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}

/** Ctrl-C on a terminal reaches the child by itself; everything else is ours to pass on. */
function forwardSignals(child) {
  const handlers = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => {
    const forward = () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    };
    process.on(signal, forward);
    return () => process.off(signal, forward);
  });
  return () => {
    for (const release of handlers) release();
  };
}

async function install() {
  console.error('Installing the packages (once, about half a minute) …');
  const started = Date.now();
  // Under `npm start` the packaged Node stands first on the PATH, and this very step replaces it.
  const searchPath = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => !folder.includes('node_modules'));
  const env = { ...process.env, PATH: searchPath.join(path.delimiter) };
  let code;
  let isInterrupted = false;
  const interrupt = () => {
    isInterrupted = true;
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    code = await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { env, shell: process.platform === 'win32' });
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    throw new SetupError('npm is not on the PATH; it comes with Node: install Node 24 (https://nodejs.org) and repeat.');
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
  if (isInterrupted) throw new SetupError('the installation was interrupted.');
  if (code !== 0) throw new SetupError('the packages could not be installed; npm says why above.');
  console.error(`Installed in ${((Date.now() - started) / 1000).toFixed(0)} s.`);
}

/** True if npm's own record of node_modules holds every package that the lockfile asks for. */
function isInstalled(lock) {
  const record = readText(path.join(root, 'node_modules', '.package-lock.json'));
  if (record === undefined) return false;
  const installed = JSON.parse(record).packages;
  return Object.entries(lock.packages).every(
    ([place, wanted]) => !place.startsWith('node_modules/') || wanted.optional || installed[place]?.version === wanted.version,
  );
}

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor >= MINIMUM_NODE[1]);
}

function readText(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}
