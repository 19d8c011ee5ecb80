import { isPlatformError, PlatformError } from '../base/errors.ts';
import { type HeldDirectory, lookAt, makeEnterable, moveOver, openBelow, removeEmpty, removeFile } from './held-directory.ts';
import type { Name } from './paths.ts';
import { randomName } from './random-name.ts';

/** Directories held at once on the way down; what lies deeper is moved up first. */
const MAX_HELD = 32;
/** How often a directory is emptied again when something goes on writing into it. */
const MAX_PASSES = 100;

/** Removes whatever has the name, with all that is in it; links are removed, not followed. What is missing already is no error. */
export async function removeTree(held: HeldDirectory, name: Name): Promise<void> {
  await unlessMissing(async () => {
    const stats = await lookAt(held, name);
    if (!stats.isDirectory()) return removeFile(held, name);
    await removeDirectory(held, name, []);
  });
}

/** Removes all that is in a directory, and leaves the directory. */
export async function emptyDirectory(held: HeldDirectory): Promise<void> {
  await empty(held, [held]);
}

/** `above` are the directories held on the way, the one where the removal began first. */
async function removeDirectory(held: HeldDirectory, name: Name, above: readonly HeldDirectory[]): Promise<void> {
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    await makeEnterable(held, name);
    {
      await using inner = await openBelow(held, [name]);
      await empty(inner, [...above, inner]);
    }
    try {
      return await removeEmpty(held, name);
    } catch (error) {
      if (!isPlatformError(error, 'file_conflict')) throw error;
    }
  }
  throw new PlatformError('file_conflict', { detail: 'The directory is written to as fast as it is emptied.' });
}

async function empty(held: HeldDirectory, above: readonly HeldDirectory[]): Promise<void> {
  for await (const name of held.names()) {
    await unlessMissing(async () => {
      const stats = await lookAt(held, name);
      if (!stats.isDirectory()) return removeFile(held, name);
      const [top] = above;
      if (above.length < MAX_HELD || top === undefined) return removeDirectory(held, name, above);
      // The top is emptied again until nothing is left, what is moved there included.
      await moveOver({ directory: held, name }, { directory: top, name: randomName() });
    });
  }
}

/** Something that is gone, or has become something else, is met again on the next pass, if at all. */
async function unlessMissing(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    const code = error instanceof Error && error.cause instanceof Error && 'code' in error.cause ? error.cause.code : undefined;
    if (!isPlatformError(error, 'file_not_found') && code !== 'EISDIR') throw error;
  }
}
