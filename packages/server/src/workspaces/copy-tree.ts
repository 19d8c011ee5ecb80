import { constants } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { fileProblem } from './file-problem.ts';
import { createLink, type HeldDirectory, lookAt, makeBelow, type Owner, openBelow, openFile, readLink } from './held-directory.ts';

export interface CopyBounds {
  /** Of all files by their length, so that one with holes counts as what it may become. */
  readonly maxBytes: number;
  readonly maxEntries: number;
  /** Told of all that is about to take room; what it throws ends the copying. */
  readonly take?: ((bytes: number) => Promise<void>) | undefined;
}

/** Directories held at once; what lies deeper is left out. */
const MAX_DEPTH = 128;

/**
 * Copies all that is in a directory which a sandbox controls into one that it does not see: files, directories and links
 * as they are, none followed. Where the filesystem can, files share their blocks until one is written (reflinks), so
 * the copy costs next to nothing. What cannot be read safely, and what goes meanwhile, is left out. Throws
 * `archive_too_large`.
 */
export async function copyTree(from: HeldDirectory, to: HeldDirectory, options: CopyBounds & { readonly owner: Owner }): Promise<void> {
  await copyHeld(from, to, { ...options, count: { bytes: 0, entries: 0 }, depth: 0 });
}

interface Walk extends CopyBounds {
  readonly owner: Owner;
  readonly count: { bytes: number; entries: number };
  readonly depth: number;
}

async function copyHeld(from: HeldDirectory, to: HeldDirectory, walk: Walk): Promise<void> {
  for await (const name of from.names()) {
    if (++walk.count.entries > walk.maxEntries)
      throw new PlatformError('archive_too_large', { detail: `The workspace holds more than ${walk.maxEntries} entries.` });
    try {
      await copyEntry(from, to, { name, walk });
    } catch (error) {
      const isPassing = ['file_not_found', 'file_refused', 'file_conflict'].some((code) => isPlatformError(error) && error.code === code);
      if (!isPassing) throw error;
    }
  }
}

async function copyEntry(
  from: HeldDirectory,
  to: HeldDirectory,
  { name, walk }: { readonly name: Buffer; readonly walk: Walk },
): Promise<void> {
  const stats = await lookAt(from, name);
  if (stats.isDirectory()) {
    if (walk.depth >= MAX_DEPTH) return;
    await using inner = await openBelow(from, [name]);
    await using made = await makeBelow(to, [name], walk.owner);
    await copyHeld(inner, made, { ...walk, depth: walk.depth + 1 });
  } else if (stats.isSymbolicLink()) await createLink(to, name, await readLink(from, name));
  else if (stats.isFile()) {
    await using file = await openFile(from, name, walk.owner);
    walk.count.bytes += file.stats.size;
    if (walk.count.bytes > walk.maxBytes)
      throw new PlatformError('archive_too_large', { detail: `The workspace holds more than ${walk.maxBytes} bytes.` });
    await walk.take?.(file.stats.blocks * 512);
    // The name lies in a directory that is ours alone, and has no slash: it came from the kernel.
    const target = Buffer.concat([Buffer.from(`/proc/self/fd/${to.fd}/`), name]);
    try {
      await copyFile(`/proc/self/fd/${file.handle.fd}`, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    } catch (error) {
      throw fileProblem(error, name);
    }
  }
}
