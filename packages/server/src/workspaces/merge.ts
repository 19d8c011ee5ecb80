import { isPlatformError, PlatformError } from '../base/errors.ts';
import { type HeldDirectory, lookAt, moveOver, openBelow } from './held-directory.ts';

/**
 * Moves all that is in one directory into another: what is not there yet as a whole, files over files, directories
 * into directories. Looks first whether a file and a directory meet anywhere, and then throws `file_conflict` with
 * nothing changed.
 */
export async function mergeInto(from: HeldDirectory, to: HeldDirectory): Promise<void> {
  await walk(from, to, { isMoving: false });
  await walk(from, to, { isMoving: true });
}

async function walk(from: HeldDirectory, to: HeldDirectory, { isMoving }: { readonly isMoving: boolean }): Promise<void> {
  const names: Buffer[] = [];
  for await (const name of from.names()) names.push(name);
  for (const name of names) {
    const [ours, theirs] = await Promise.all([lookAt(from, name), lookIfThere(to, name)]);
    if (theirs !== undefined && ours.isDirectory() !== theirs.isDirectory())
      throw new PlatformError('file_conflict', {
        detail: `${JSON.stringify(name.toString().slice(0, 80))} is a directory in one place and none in the other.`,
      });
    if (theirs !== undefined && ours.isDirectory()) {
      await using inner = await openBelow(from, [name]);
      await using there = await openBelow(to, [name]);
      await walk(inner, there, { isMoving });
    } else if (isMoving) await moveOver({ directory: from, name }, { directory: to, name });
  }
}

async function lookIfThere(held: HeldDirectory, name: Buffer) {
  try {
    return await lookAt(held, name);
  } catch (error) {
    if (isPlatformError(error, 'file_not_found')) return undefined;
    throw error;
  }
}
