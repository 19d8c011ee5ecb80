import { lstat, mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { makeDirectories, removeIn } from '../directories.ts';
import { createLoopDisks } from './loop-disks.ts';

export interface Tree {
  readonly root: string;
  readonly isMounted: boolean;
}

/** The trees in one folder, some on disks of their own; what is done to one tree is done one after the other. */
export interface Trees {
  /** Makes the directories of the tree; on a disk of so many bytes, where that can be and there are no files yet. */
  ensure(id: string, names: readonly string[], bytes: number | undefined): Promise<Tree>;
  unmountIdle(options: { readonly isInUse: (id: string) => boolean; readonly idleMs: number }): Promise<void>;
  remove(id: string): Promise<void>;
  /** Why no disks are made here, or undefined. */
  obstacle(): Promise<string | undefined>;
}

export interface TreesDeps {
  readonly clock: Clock;
  readonly seesOurMounts: () => Promise<boolean>;
}

export function createTrees(folder: string, { clock, seesOurMounts }: TreesDeps): Trees {
  const disks = createLoopDisks({ folder, clock, seesOurMounts });
  const rootOf = (id: string) => path.join(folder, id);
  const inTurn = createQueues();

  async function mountIfWanted(id: string, names: readonly string[], bytes: number | undefined): Promise<boolean> {
    const root = rootOf(id);
    const isThere = await disks.hasImage(id);
    if (!isThere) {
      // No disk is mounted over files that are there already.
      if (bytes === undefined || (await hasAny(root, names)) || (await disks.obstacle()) !== undefined) return false;
      await disks.create(id, bytes);
    }
    await mkdir(root, { recursive: true, mode: 0o700 });
    await disks.mount(id, root);
    await disks.touch(id);
    return true;
  }

  async function unmount(id: string, options: { readonly isForced: boolean }): Promise<void> {
    await disks.unmount(rootOf(id), options);
  }

  return {
    obstacle: disks.obstacle,
    ensure: (id, names, bytes) =>
      inTurn(id, async () => {
        const root = rootOf(id);
        try {
          const isMounted = await mountIfWanted(id, names, bytes);
          await makeDirectories(
            root,
            names.map((name) => path.join(root, name)),
          );
          return { root, isMounted };
        } catch (error) {
          if (isCode(error, 'ENOSPC')) throw new PlatformError('disk_full', { cause: error });
          throw error;
        }
      }),
    async unmountIdle({ isInUse, idleMs }) {
      for (const { id, usedAt } of await disks.mounted()) {
        if (isInUse(id)) await disks.touch(id);
        else if (clock.now() - usedAt >= idleMs) await inTurn(id, () => unmount(id, { isForced: false }));
      }
    },
    remove: (id) =>
      inTurn(id, async () => {
        await unmount(id, { isForced: true });
        await removeIn(folder, id);
        await disks.removeImage(id);
      }),
  };
}

async function hasAny(root: string, names: readonly string[]): Promise<boolean> {
  for (const name of names) {
    try {
      await lstat(path.join(root, name));
      return true;
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
    }
  }
  return false;
}

/** Of the calls with one key, each begins when the one before has ended. */
function createQueues(): <T>(key: string, run: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return async (key, run) => {
    const before = last.get(key) ?? Promise.resolve();
    const mine = before.then(run, run);
    last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (last.get(key) === mine) last.delete(key);
    }
  };
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
