import { constants } from 'node:fs';
import { copyFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SessionPlaces } from '../sandboxes/session-files.ts';
import { isCode } from './held-directory.ts';
import { randomName } from './random-name.ts';
import { measure, type UsageBounds } from './usage.ts';

/** Where the copies of a session's workspace at the end of turns are. */
export function turnsOf(snapshots: string): string {
  return path.join(snapshots, 'turns');
}

/** What a session's snapshots take of the disk: copies that share their blocks with the workspace count as nothing. */
export async function takenBySnapshots(
  { workspace, snapshots }: Pick<SessionPlaces, 'workspace' | 'snapshots'>,
  bounds: UsageBounds,
): Promise<number> {
  const none: string[] = [];
  const names = await readdir(snapshots).catch((error: unknown) => (isCode(error, 'ENOENT') ? none : Promise.reject(error)));
  if (names.length === 0) return 0;
  const isShared = names.includes('turns') && (await sharesBlocks(workspace, turnsOf(snapshots)));
  if (!isShared) return (await measure([snapshots], bounds)).bytes;
  const archives = names.filter((name) => name.endsWith('.tar.gz')).map((name) => path.join(snapshots, name));
  const sizes = await Promise.all(
    archives.map((file) => stat(file).catch((error: unknown) => (isCode(error, 'ENOENT') ? undefined : Promise.reject(error)))),
  );
  return sizes.reduce((sum, found) => sum + (found?.blocks ?? 0) * BLOCK, 0);
}

const BLOCK = 512;
const known = new Map<number, boolean>();

/** Whether a copy of a file from one directory into the other takes no blocks until one of the two is changed. */
export async function sharesBlocks(from: string, to: string): Promise<boolean> {
  const [{ dev }, target] = [await stat(from), await stat(to)];
  if (dev !== target.dev) return false;
  const found = known.get(dev) ?? (await canShare(to));
  known.set(dev, found);
  return found;
}

async function canShare(directory: string): Promise<boolean> {
  const [one, other] = [path.join(directory, randomName()), path.join(directory, randomName())];
  try {
    await writeFile(one, Buffer.alloc(8192, 1), { mode: 0o600, flag: 'wx' });
    await copyFile(one, other, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch (error) {
    if (isCode(error, 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EXDEV', 'ENOTTY')) return false;
    throw error;
  } finally {
    for (const file of [one, other]) await rm(file, { force: true });
  }
}
