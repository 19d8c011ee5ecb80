import { readdir, readFile } from 'node:fs/promises';
import type { BubblewrapContext } from './context.ts';
import { missingIsFine } from './files.ts';

/** The processes of a running sandbox, as the host numbers them. */
export interface SandboxProcesses {
  readonly supervisor: number;
  /** Process 1 inside; undefined while bubblewrap still makes the walls. When it goes, the kernel takes all others along. */
  readonly init: number | undefined;
}

/** Undefined when nothing of it runs: numbers are used again, so each is checked against what was written at its start. */
export async function findProcesses({ state }: Pick<BubblewrapContext, 'state'>, handle: string): Promise<SandboxProcesses | undefined> {
  const { identity, status } = state.paths(handle);
  const [boot, line] = ((await missingIsFine(readFile(identity, 'utf8'))) ?? '').split('\n');
  const written = parseStat(line ?? '');
  if (written === undefined || boot !== (await bootId())) return undefined;
  const now = await readStat(written.pid);
  if (now === undefined || now.startedAt !== written.startedAt || now.isZombie) return undefined;
  return { supervisor: written.pid, init: await findInit(status, written.pid) };
}

/** Bubblewrap writes the number down; it is believed when the process is a grandchild of the supervisor. */
async function findInit(statusFile: string, supervisor: number): Promise<number | undefined> {
  const text = (await missingIsFine(readFile(statusFile, 'utf8'))) ?? '';
  const pid = Number(/"child-pid": (\d+)/.exec(text)?.[1]);
  if (!Number.isInteger(pid)) return undefined;
  const init = await readStat(pid);
  const monitor = init === undefined ? undefined : await readStat(init.parent);
  return monitor?.parent === supervisor ? pid : undefined;
}

/** The program itself is process 2 inside. */
export async function findMain(init: number): Promise<number | undefined> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const found = await readStat(Number(name));
    if (found?.parent !== init) continue;
    const status = await readProc(`/proc/${name}/status`);
    if (/^NSpid:.*\s2$/m.test(status ?? '')) return Number(name);
  }
  return undefined;
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly startedAt: string;
  readonly isZombie: boolean;
}

async function readStat(pid: number): Promise<Stat | undefined> {
  return parseStat((await readProc(`/proc/${pid}/stat`)) ?? '');
}

/** The name in brackets is the program's own choice, so what counts comes after the last bracket. */
function parseStat(line: string): Stat | undefined {
  const [, pid, rest] = /^(\d+) .*\) (.*)$/s.exec(line) ?? [];
  const fields = rest?.trim().split(' ') ?? [];
  const [state, parent] = fields;
  const startedAt = fields[19];
  if (pid === undefined || parent === undefined || startedAt === undefined) return undefined;
  return { pid: Number(pid), parent: Number(parent), startedAt, isZombie: state === 'Z' || state === 'X' };
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** Undefined when the process is gone, also when it goes while it is read. */
async function readProc(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return undefined;
    throw error;
  }
}

/** False when there is no such process (any more). */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}
