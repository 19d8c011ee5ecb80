import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { isPlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { RuntimeDriver, RuntimeProbe, SandboxSpec } from '../driver.ts';
import type { BubblewrapContext } from './context.ts';
import { explain } from './failures.ts';
import { seccompFilter } from './seccomp.ts';
import { HOST_PATH } from './spawn.ts';

const run = promisify(execFile);
const ANOTHER_ENGINE = 'Install Docker or Podman.';

/** Answers from what was found once: only a real sandbox tells whether the host allows one, and that is not tried every few seconds. */
export function createProbe(
  bubblewrap: BubblewrapContext,
  driver: Pick<RuntimeDriver, 'create' | 'start' | 'remove'>,
): () => Promise<RuntimeProbe> {
  let found: RuntimeProbe | undefined;
  return async () => {
    if (process.platform !== 'linux') return { ok: false, detail: 'Bubblewrap is for Linux.', fix: ANOTHER_ENGINE };
    if (seccompFilter() === undefined)
      return { ok: false, detail: `There is no system-call filter for this processor (${process.arch}).`, fix: ANOTHER_ENGINE };
    const missing = await missingTools(bubblewrap.system.isRoot);
    if (missing !== undefined) return missing;
    if (found?.ok !== true) found = await tryOut(bubblewrap, driver);
    return found;
  };
}

/** Program → the package that has it. */
const TOOLS = { bwrap: 'bubblewrap', nsenter: 'util-linux', env: 'coreutils' } as const;

async function missingTools(isRoot: boolean): Promise<RuntimeProbe | undefined> {
  for (const [tool, parcel] of Object.entries(isRoot ? { ...TOOLS, setpriv: 'util-linux' } : TOOLS)) {
    if (await isThere(tool)) continue;
    const what = parcel === 'bubblewrap' ? 'Bubblewrap is not installed.' : `Bubblewrap needs \`${tool}\`, which is not installed.`;
    return { ok: false, detail: what, fix: `Install it (\`apt-get install ${parcel}\`, \`dnf install ${parcel}\`).` };
  }
  return undefined;
}

async function isThere(tool: string): Promise<boolean> {
  for (const directory of HOST_PATH.split(':')) {
    const isFound = await access(path.join(directory, tool), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isFound) return true;
  }
  return false;
}

async function tryOut(bubblewrap: BubblewrapContext, driver: Pick<RuntimeDriver, 'create' | 'start' | 'remove'>): Promise<RuntimeProbe> {
  try {
    const { stdout } = await run('bwrap', ['--version'], { env: { PATH: HOST_PATH } });
    const version = stdout.trim().split(' ').at(-1) ?? 'unknown';
    const ref = await driver.create(trialSpec());
    try {
      const io = await driver.start(ref);
      io.stdin.end();
      io.stdout.resume();
      const [words, exit] = await Promise.all([text(io.stderr), io.exited]);
      if (exit.exitCode !== 0) return refused(words);
    } finally {
      await driver.remove(ref);
    }
    const limits = bubblewrap.limits === undefined ? 'limits on each process only' : `control groups ${bubblewrap.limits.version}`;
    const detail = `Bubblewrap ${version}, ${limits}; weaker than a container engine: the host's programs and kernel are shared.`;
    return { ok: true, version, detail };
  } catch (error) {
    bubblewrap.log.debug({ err: error }, 'bubblewrap was tried out');
    const cause = isPlatformError(error) && error.cause instanceof Error ? error.cause.message : String(error);
    return refused(cause);
  }
}

function refused(words: string): RuntimeProbe {
  const known = explain(words);
  if (known !== undefined) return { ok: false, detail: known.detail, fix: known.fix };
  const lastLine = words.trim().split('\n').at(-1) ?? '';
  return { ok: false, detail: `Bubblewrap cannot make a sandbox here: ${lastLine.slice(0, 300)}.`, fix: ANOTHER_ENGINE };
}

/** As little as an agent would need. */
function trialSpec(): SandboxSpec {
  const uid = process.getuid?.() || 1000;
  return {
    labels: {
      installation: 'probe',
      node: newId('node'),
      tenant: 'probe',
      agent: 'probe',
      session: 'probe',
      sandbox: newId('sandbox'),
      incarnation: newId('incarnation'),
    },
    image: 'none',
    argv: ['node', '-e', 'process.exitCode = 0'],
    env: {},
    cwd: '/tmp',
    uid,
    gid: process.getgid?.() || 1000,
    memoryBytes: 256 * 1024 * 1024,
    cpus: 1,
    pids: 64,
    mounts: [],
    tmpBytes: 1024 * 1024,
  };
}
