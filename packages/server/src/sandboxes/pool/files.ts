import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { isCode, openRoot } from '../../workspaces/held-directory.ts';
import { emptyDirectory } from '../../workspaces/remove-tree.ts';
import { makeDirectories, type SessionDirectories, sessionDirectories, sessionsFolder } from '../directories.ts';

/** What a sandbox writes before it has a session. */
export interface WarmFiles {
  ensure(id: string): Promise<SessionDirectories>;
  /**
   * Makes them the session's: one rename, which the sandbox does not notice, since its mounts hold the directories and
   * not their names. False when the session has files of its own already; nothing has changed then.
   */
  handOver(id: string, sessionId: string): Promise<boolean>;
  remove(id: string): Promise<void>;
  /** Removes what servers have left that are no more. */
  sweep(isAlive: (nodeId: string) => boolean): Promise<void>;
}

/** They lie beside those of sessions, since nothing can be renamed from one filesystem to another. */
export function createWarmFiles(dataDir: string, nodeId: string): WarmFiles {
  const folder = path.join(sessionsFolder(dataDir), '.warm');
  const rootOf = (id: string) => path.join(folder, nodeId, id);
  return {
    async ensure(id) {
      const root = rootOf(id);
      const made = { home: path.join(root, 'home'), workspace: path.join(root, 'workspace') };
      await makeDirectories(root, [made.home, made.workspace]);
      return made;
    },
    async handOver(id, sessionId) {
      const { root, home, workspace } = sessionDirectories(dataDir, sessionId);
      if (!(await clearEmpty(root, [home, workspace]))) return false;
      try {
        await rename(rootOf(id), root);
        return true;
      } catch (error) {
        // Somebody has put files there in this moment.
        if (isCode(error, 'ENOTEMPTY', 'EEXIST')) return false;
        throw error;
      }
    },
    remove: (id) => rm(rootOf(id), { recursive: true, force: true }),
    async sweep(isAlive) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      for (const name of await readdir(folder)) {
        if (name === nodeId || isAlive(name)) continue;
        // Its sandboxes may live a moment longer than their server did.
        {
          await using held = await openRoot(path.join(folder, name));
          await emptyDirectory(held);
        }
        await rmdir(path.join(folder, name));
      }
    },
  };
}

/** Removes the session's directories if there is nothing in them. A directory with files is never removed: the kernel refuses. */
async function clearEmpty(root: string, inner: readonly string[]): Promise<boolean> {
  const there = await readdir(root).catch(missing);
  if (there === undefined) return true;
  const isBare = there.every((name) => inner.includes(path.join(root, name)));
  for (const directory of isBare ? inner : []) if (((await readdir(directory).catch(missing)) ?? []).length > 0) return false;
  if (!isBare) return false;
  try {
    for (const directory of [...inner, root])
      await rmdir(directory).catch((error: unknown) => (isCode(error, 'ENOENT') ? undefined : Promise.reject(error)));
    return true;
  } catch (error) {
    if (!isCode(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY')) throw error;
    await makeDirectories(root, inner);
    return false;
  }
}

function missing(error: unknown): undefined {
  if (isCode(error, 'ENOENT')) return undefined;
  throw error;
}
