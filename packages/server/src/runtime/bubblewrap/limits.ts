import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SandboxSpec } from '../driver.ts';

/** Control groups of the kernel, where this process may make some: one for each sandbox, on either layout. */
export interface Limits {
  readonly version: 1 | 2;
  /** The directories of the sandbox's group; whoever writes itself into all of them is held. */
  groups(name: string): readonly string[];
  create(name: string, spec: SandboxSpec): Promise<void>;
  /** False when something in it is still on its way out. */
  remove(name: string): Promise<boolean>;
  /** Holds all processes of a group still; undefined where the host has no freezer. */
  readonly freezer: Freezer | undefined;
  /** Who is in the group now. */
  members(name: string): Promise<readonly number[]>;
}

export interface Freezer {
  set(name: string, isFrozen: boolean): Promise<void>;
  /** True once every process holds still; false also for a group that is not there. */
  isFrozen(name: string): Promise<boolean>;
}

const CONTROLLERS = ['memory', 'pids', 'cpu'] as const;
const OURS = 'cloister';
const CPU_PERIOD_US = 100_000;
/** The two processes of bubblewrap itself, beside the program's. */
const OWN_PROCESSES = 2;

/** Undefined where control groups cannot be had: not root, or a container that keeps them read-only. */
export function findLimits(root = '/sys/fs/cgroup'): Limits | undefined {
  try {
    if (existsSync(path.join(root, 'cgroup.controllers'))) return unified(root);
    return separate(root);
  } catch (error) {
    if (isFileError(error)) return undefined;
    throw error;
  }
}

/** Version 2: one tree, in which the controllers are handed down level by level. */
function unified(root: string): Limits | undefined {
  const ours = path.join(root, OURS);
  mkdirSync(ours, { recursive: true });
  for (const directory of [root, ours]) handDown(directory);
  const group = (name: string) => path.join(ours, name);
  const freezer: Freezer = {
    set: (name, isFrozen) => writeFile(path.join(group(name), 'cgroup.freeze'), isFrozen ? '1' : '0'),
    isFrozen: async (name) => /^frozen 1$/m.test(await readIfThere(path.join(group(name), 'cgroup.events'))),
  };
  return limitsOf({ version: 2, groups: (name) => [group(name)], freezer }, async (name, spec) => {
    await writeFile(path.join(group(name), 'memory.max'), String(spec.memoryBytes));
    await writeIfThere(path.join(group(name), 'memory.swap.max'), '0');
    await writeFile(path.join(group(name), 'pids.max'), String(spec.pids + OWN_PROCESSES));
    await writeFile(path.join(group(name), 'cpu.max'), `${quota(spec)} ${CPU_PERIOD_US}`);
  });
}

function handDown(directory: string): void {
  const file = path.join(directory, 'cgroup.subtree_control');
  const given = new Set(readFileSync(file, 'utf8').trim().split(/\s+/));
  const wanted = CONTROLLERS.filter((controller) => !given.has(controller));
  if (wanted.length > 0) writeFileSync(file, wanted.map((controller) => `+${controller}`).join(' '));
}

/** Version 1: a tree for each controller. */
function separate(root: string): Limits | undefined {
  for (const controller of CONTROLLERS) {
    accessSync(path.join(root, controller, 'cgroup.procs'), constants.W_OK);
    mkdirSync(path.join(root, controller, OURS), { recursive: true });
  }
  const group = (controller: (typeof CONTROLLERS)[number] | 'freezer', name: string) => path.join(root, controller, OURS, name);
  const hasFreezer = existsSync(path.join(root, 'freezer', 'cgroup.procs'));
  const stateFile = (name: string) => path.join(group('freezer', name), 'freezer.state');
  const freezer: Freezer = {
    set: (name, isFrozen) => writeFile(stateFile(name), isFrozen ? 'FROZEN' : 'THAWED'),
    isFrozen: async (name) => (await readIfThere(stateFile(name))).trim() === 'FROZEN',
  };
  const controllers = hasFreezer ? ([...CONTROLLERS, 'freezer'] as const) : CONTROLLERS;
  return limitsOf(
    {
      version: 1,
      groups: (name) => controllers.map((controller) => group(controller, name)),
      freezer: hasFreezer ? freezer : undefined,
    },
    async (name, spec) => {
      await writeFile(path.join(group('memory', name), 'memory.limit_in_bytes'), String(spec.memoryBytes));
      // Memory and swap together: no swap, so the limit is the limit.
      await writeIfThere(path.join(group('memory', name), 'memory.memsw.limit_in_bytes'), String(spec.memoryBytes));
      await writeFile(path.join(group('pids', name), 'pids.max'), String(spec.pids + OWN_PROCESSES));
      await writeFile(path.join(group('cpu', name), 'cpu.cfs_period_us'), String(CPU_PERIOD_US));
      await writeFile(path.join(group('cpu', name), 'cpu.cfs_quota_us'), String(quota(spec)));
    },
  );
}

function limitsOf(
  layout: Pick<Limits, 'version' | 'groups' | 'freezer'>,
  write: (name: string, spec: SandboxSpec) => Promise<void>,
): Limits {
  const { groups } = layout;
  return {
    ...layout,
    async create(name, spec) {
      for (const directory of groups(name)) await mkdir(directory, { recursive: true });
      await write(name, spec);
    },
    async remove(name) {
      const removed = await Promise.all(groups(name).map(removeGroup));
      return removed.every((isGone) => isGone);
    },
    async members(name) {
      const lists = await Promise.all(groups(name).map(readMembers));
      return [...new Set(lists.flat())];
    },
  };
}

function quota(spec: SandboxSpec): number {
  return Math.max(1000, Math.round(spec.cpus * CPU_PERIOD_US));
}

/** Kernels without swap accounting have no such file. */
async function writeIfThere(file: string, text: string): Promise<void> {
  if (existsSync(file)) await writeFile(file, text);
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isFileError(error) && (error.code === 'ENOENT' || error.code === 'ENODEV')) return '';
    throw error;
  }
}

async function removeGroup(directory: string): Promise<boolean> {
  try {
    await rmdir(directory);
    return true;
  } catch (error) {
    if (isFileError(error) && error.code === 'ENOENT') return true;
    if (isFileError(error) && error.code === 'EBUSY') return false;
    throw error;
  }
}

async function readMembers(directory: string): Promise<number[]> {
  try {
    const text = await readFile(path.join(directory, 'cgroup.procs'), 'utf8');
    return text.split('\n').filter(Boolean).map(Number);
  } catch (error) {
    // Removed, or about to be.
    if (isFileError(error) && (error.code === 'ENOENT' || error.code === 'ENODEV')) return [];
    throw error;
  }
}

function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && typeof error.code === 'string';
}
