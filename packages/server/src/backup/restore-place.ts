import { mkdir, readdir, realpath, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { PlatformError } from '../base/errors.ts';
import { isCode } from '../workspaces/held-directory.ts';
import { mountPoints } from './places.ts';
import { syncDirectory } from './spool.ts';

/** Where a data directory is put together before it is one. */
export interface RestorePlace {
  readonly staging: string;
  /** Puts what was staged into its place at once; answers where the former contents are, if there were any. */
  commit(): Promise<string | undefined>;
  /** Leaves all as it was. */
  abort(): Promise<void>;
}

/** What a file system has of its own at its root. */
const NO_CONTENTS: readonly string[] = ['lost+found'];
/** Without it a server does not go on with what else is there. */
const DATABASE = 'cloister.db';

/** Throws `restore_not_empty` unless forced; nothing in the target has then changed. */
export async function openPlace(
  target: string,
  { isForced, unique, stamp }: { readonly isForced: boolean; readonly unique: string; readonly stamp: string },
): Promise<RestorePlace> {
  const there = await namesIn(target);
  const names = (there ?? []).filter((name) => !NO_CONTENTS.includes(name));
  if (names.length > 0 && !isForced) throw new PlatformError('restore_not_empty', { detail: `${target} holds ${names.length} entries.` });
  const isMount = there !== undefined && (await mountPoints()).has(await realpath(target));
  return isMount ? inside(target, { names, unique, stamp }) : beside(target, { isThere: there !== undefined, names, unique, stamp });
}

interface Details {
  readonly names: readonly string[];
  readonly unique: string;
  readonly stamp: string;
}

async function beside(target: string, { isThere, names, unique, stamp }: Details & { readonly isThere: boolean }): Promise<RestorePlace> {
  const parent = path.dirname(target);
  const staging = path.join(parent, `.restore-${unique}`);
  await mkdir(parent, { recursive: true });
  await mkdir(staging, { mode: 0o700 });
  return {
    staging,
    async commit() {
      const former = names.length > 0 ? `${target}.before-restore-${stamp}` : undefined;
      if (former !== undefined) await rename(target, former);
      else if (isThere) await rm(target, { recursive: true });
      await rename(staging, target);
      await syncDirectory(parent);
      return former;
    },
    abort: () => rm(staging, { recursive: true, force: true }),
  };
}

/** What is mounted, such as a container's volume, cannot be replaced itself: the database goes in last. */
async function inside(target: string, { names, unique, stamp }: Details): Promise<RestorePlace> {
  const staging = path.join(target, `.restore-${unique}`);
  await mkdir(staging, { mode: 0o700 });
  return {
    staging,
    async commit() {
      const former = names.length > 0 ? path.join(target, `before-restore-${stamp}`) : undefined;
      if (former !== undefined) {
        await mkdir(former, { mode: 0o700 });
        for (const name of databaseFirst(names)) await rename(path.join(target, name), path.join(former, name));
      }
      for (const name of databaseFirst((await namesIn(staging)) ?? []).toReversed())
        await rename(path.join(staging, name), path.join(target, name));
      await rm(staging, { recursive: true });
      await syncDirectory(target);
      return former;
    },
    abort: () => rm(staging, { recursive: true, force: true }),
  };
}

function databaseFirst(names: readonly string[]): readonly string[] {
  return names.toSorted((a, b) => Number(b === DATABASE) - Number(a === DATABASE));
}

/** Undefined when there is no such directory. */
async function namesIn(directory: string): Promise<readonly string[] | undefined> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
