import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../base/clock.ts';
import { newUnique } from '../../base/ids.ts';
import type { SandboxLabels, SandboxRef, SandboxSpec } from '../driver.ts';
import { ownEtc } from './arguments.ts';
import { createExits, type Exits } from './exits.ts';
import { hasCode, missingIsFine } from './files.ts';
import { type Owner, parseOwner, parseSpec } from './records.ts';

/**
 * What is known of the sandboxes, on disk, since no engine keeps it: one directory for each, and how each ended, kept
 * a while longer. A directory appears whole and goes whole, so every process that shares the tree sees the same.
 */
export interface StateDirectory {
  /** Answers false when there is one of this name already. */
  add(handle: string, spec: SandboxSpec): Promise<boolean>;
  names(): Promise<readonly string[]>;
  owner(handle: string): Promise<Owner | undefined>;
  spec(handle: string): Promise<SandboxSpec | undefined>;
  /** True for the one caller who may start it; undefined when it is gone. */
  claim(handle: string): Promise<boolean | undefined>;
  /** When it was claimed. */
  claimedAt(handle: string): Promise<number | undefined>;
  /** True when its supervisor got as far as running. */
  hasRun(handle: string): Promise<boolean>;
  remove(handle: string): Promise<void>;
  paths(handle: string): SandboxPaths;
  readonly exits: Exits;
  readonly seccompFile: string;
}

export interface SandboxPaths {
  readonly directory: string;
  readonly owner: string;
  readonly etc: string;
  readonly arguments: string;
  readonly script: string;
  readonly status: string;
  readonly identity: string;
  readonly log: string;
  readonly exit: string;
}

export function createStateDirectory(root: string, clock: Clock): StateDirectory {
  const sandboxes = path.join(root, 'sandboxes');
  const exitsDirectory = path.join(root, 'exits');
  for (const directory of [root, sandboxes, exitsDirectory]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const exits = createExits(exitsDirectory, clock);

  const paths = (handle: string): SandboxPaths => pathsOf(path.join(sandboxes, handle), path.join(exitsDirectory, handle));
  const claimFile = (handle: string) => path.join(paths(handle).directory, 'claimed');

  return {
    exits,
    seccompFile: path.join(root, 'seccomp.bpf'),
    paths,
    async add(handle, spec) {
      const draft = path.join(sandboxes, `.${newUnique()}`);
      const owner: Owner = { ref: sandboxRef(spec.labels), labels: spec.labels, createdAt: clock.now() };
      await mkdir(path.join(draft, 'etc'), { recursive: true, mode: 0o755 });
      try {
        await writeFile(path.join(draft, 'owner.json'), JSON.stringify(owner), { mode: 0o600 });
        await writeFile(path.join(draft, 'spec.json'), JSON.stringify(spec), { mode: 0o600 });
        for (const [name, text] of Object.entries(ownEtc(spec))) await writeFile(path.join(draft, 'etc', name), text, { mode: 0o644 });
        await exits.forget(handle);
        await rename(draft, paths(handle).directory);
        return true;
      } catch (error) {
        await rm(draft, { recursive: true, force: true });
        if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return false;
        throw error;
      }
    },
    names: async () => (await readdir(sandboxes)).filter((name) => !name.startsWith('.')),
    async owner(handle) {
      const text = await missingIsFine(readFile(paths(handle).owner, 'utf8'));
      return text === undefined ? undefined : parseOwner(text);
    },
    async spec(handle) {
      const text = await missingIsFine(readFile(path.join(paths(handle).directory, 'spec.json'), 'utf8'));
      return text === undefined ? undefined : parseSpec(text);
    },
    async claim(handle) {
      try {
        await writeFile(claimFile(handle), '', { flag: 'wx', mode: 0o600 });
        return true;
      } catch (error) {
        if (hasCode(error, 'EEXIST')) return false;
        if (hasCode(error, 'ENOENT')) return undefined;
        throw error;
      }
    },
    claimedAt: async (handle) => (await missingIsFine(stat(claimFile(handle))))?.mtimeMs,
    hasRun: async (handle) => ((await missingIsFine(stat(paths(handle).identity)))?.size ?? 0) > 0,
    async remove(handle) {
      const gone = path.join(sandboxes, `.${newUnique()}`);
      try {
        await rename(paths(handle).directory, gone);
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) throw error;
        return;
      }
      await rm(gone, { recursive: true, force: true });
      await exits.prune();
    },
  };
}

function pathsOf(directory: string, exit: string): SandboxPaths {
  const at = (name: string): string => path.join(directory, name);
  return {
    directory,
    owner: at('owner.json'),
    etc: at('etc'),
    arguments: at('arguments'),
    script: at('script'),
    status: at('status'),
    identity: at('identity'),
    log: at('log'),
    exit,
  };
}

/** The same for the same incarnation of the same installation, so a repeated create meets the first one's sandbox. */
export function sandboxHandle({ installation, incarnation }: SandboxLabels): string {
  const readable = incarnation.replace(/[^a-zA-Z0-9_-]/g, '-').slice(0, 60);
  const hash = createHash('sha256').update(`${installation}\n${incarnation}`).digest('hex');
  return `${readable}-${hash.slice(0, 12)}`;
}

export function sandboxRef(labels: SandboxLabels): SandboxRef {
  return { sandbox: labels.sandbox, incarnation: labels.incarnation, handle: sandboxHandle(labels) };
}

/** Plain data; what JSON does not keep plays no part. */
export function isSameSpec(a: SandboxSpec, b: SandboxSpec): boolean {
  return isDeepStrictEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
}
