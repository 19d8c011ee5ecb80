import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * The memory of a control group of the host, by its files: for engines that run on the server's own host and make one
 * group per sandbox. Wherever the files are not there or may not be used, the answer is undefined and nothing is changed.
 */
export interface MemoryGroup {
  /** Bytes in use. */
  usage(): Promise<number | undefined>;
  /** Gives back what can be given back; answers how many bytes. The processes should hold still meanwhile. */
  reclaim(): Promise<number | undefined>;
}

export interface CgroupPlace {
  /** Where the host's groups are mounted; tests have their own. */
  readonly root?: string;
  readonly proc?: string;
}

/**
 * The group of a process, when its name holds `name`: a process id that an engine told may be one of another host or
 * another namespace, and then belongs to somebody else here.
 */
export async function memoryGroup(pid: number, name: string, place: CgroupPlace = {}): Promise<MemoryGroup | undefined> {
  const { root = '/sys/fs/cgroup', proc = '/proc' } = place;
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const lines = (await read(path.join(proc, String(pid), 'cgroup')))?.split('\n') ?? [];
  const first = groupOf(lines, (controllers) => controllers.split(',').includes('memory'));
  const unified = groupOf(lines, (controllers) => controllers === '');
  const isOwn = (group: string | undefined): group is string => group?.includes(name) === true && !group.split('/').includes('..');
  if (isOwn(first)) return versionOne(path.join(root, 'memory', first), proc);
  if (isOwn(unified)) return versionTwo(path.join(root, unified), proc);
  return undefined;
}

function groupOf(lines: readonly string[], holds: (controllers: string) => boolean): string | undefined {
  for (const line of lines) {
    const [, controllers, group] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers !== undefined && holds(controllers)) return group;
  }
  return undefined;
}

/** While memory and swap have the same limit, version 1 swaps nothing out: the limit is lifted for the moment of it. */
function versionOne(folder: string, proc: string): MemoryGroup {
  const usage = () => readBytes(path.join(folder, 'memory.usage_in_bytes'));
  const swapLimit = path.join(folder, 'memory.memsw.limit_in_bytes');
  return {
    usage,
    reclaim: () => difference(usage, () => withSwap(proc, swapLimit, () => write(path.join(folder, 'memory.force_empty'), '0'))),
  };
}

function versionTwo(folder: string, proc: string): MemoryGroup {
  const usage = () => readBytes(path.join(folder, 'memory.current'));
  const swapLimit = path.join(folder, 'memory.swap.max');
  return {
    usage,
    async reclaim() {
      const wanted = await usage();
      if (wanted === undefined) return undefined;
      // Less than what was asked for ends in EAGAIN, which is as good.
      const ask = () => write(path.join(folder, 'memory.reclaim'), String(wanted), ['EAGAIN']);
      return difference(usage, () => withSwap(proc, swapLimit, ask));
    },
  };
}

async function difference(usage: MemoryGroup['usage'], run: () => Promise<boolean>): Promise<number | undefined> {
  const before = await usage();
  if (before === undefined || !(await run())) return undefined;
  const after = await usage();
  return after === undefined ? undefined : Math.max(0, before - after);
}

/** Runs with the limit on swap lifted, where the host has swap, and puts it back as it was. */
async function withSwap(proc: string, file: string, run: () => Promise<boolean>): Promise<boolean> {
  const swaps = (await read(path.join(proc, 'swaps')))?.trim().split('\n').length ?? 0;
  const limit = swaps > 1 ? (await read(file))?.trim() : undefined;
  if (limit === undefined) return run();
  await write(file, file.endsWith('.max') ? 'max' : '-1');
  try {
    return await run();
  } finally {
    await write(file, limit);
  }
}

async function readBytes(file: string): Promise<number | undefined> {
  const text = (await read(file))?.trim();
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

async function read(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isRefusal(error)) return undefined;
    throw error;
  }
}

async function write(file: string, text: string, asGood: readonly string[] = []): Promise<boolean> {
  try {
    await writeFile(file, text, { flag: 'r+' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && asGood.includes(String(error.code))) return true;
    if (isRefusal(error)) return false;
    throw error;
  }
}

/** Not there, not ours to use, or gone in between. */
function isRefusal(error: unknown): boolean {
  const codes = ['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS', 'ENODEV', 'EBUSY', 'EINVAL', 'ESRCH', 'EOPNOTSUPP'];
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
