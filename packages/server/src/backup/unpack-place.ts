import { chmod, chown, utimes } from 'node:fs/promises';
import { isPlatformError } from '../base/errors.ts';
import { createFile, createLink, type HeldDirectory, makeBelow, openBelow } from '../workspaces/held-directory.ts';
import { readTar, type TarEntry } from '../workspaces/tar-read.ts';
import { invalidBackup } from './manifest.ts';

const OURS = { uid: 0, gid: 0 } as const;

interface MadeDirectory {
  readonly names: readonly Buffer[];
  readonly entry: Pick<TarEntry, 'mode' | 'modifiedAt' | 'uid'>;
}

/**
 * Unpacks what `packPlace` made into a directory that nobody else sees, with modes, times and, where this process may,
 * owners. Answers how many entries there were. Throws `backup_invalid` for a path that leads elsewhere.
 */
export async function unpackPlace(source: AsyncIterable<Uint8Array>, staging: HeldDirectory, into: string): Promise<number> {
  const root = into.split('/').filter((part) => part !== '');
  await using held = await makeBelow(staging, root, OURS);
  // Not of DATA_DIR itself: that has the mode which its maker gave it.
  if (root.length > 0) await closeToOthers(staging, root);
  const made: MadeDirectory[] = [];
  let entries = 0;
  for await (const entry of readTar(source)) {
    await placed(() => unpackEntry(entry, held, made));
    entries++;
  }
  // Last of all, the innermost first: a directory may be closed even to us, and what is made in it changes its time.
  for (const { names, entry } of made.reverse()) {
    await using directory = await openBelow(held, names);
    const self = `/proc/self/fd/${directory.fd}`;
    await giveTo(self, entry.uid);
    await utimes(self, entry.modifiedAt, entry.modifiedAt);
    await chmod(self, entry.mode & 0o777);
  }
  return entries;
}

async function unpackEntry(entry: TarEntry, held: HeldDirectory, made: MadeDirectory[]): Promise<void> {
  const names = namesOf(entry.path);
  const last = names.at(-1);
  if (last === undefined) throw invalidBackup('it has a file without a name');
  if (entry.kind === 'directory') {
    await using directory = await makeBelow(held, names, OURS);
    await chmod(`/proc/self/fd/${directory.fd}`, 0o700);
    made.push({ names, entry });
    return;
  }
  await using parent = await makeBelow(held, names.slice(0, -1), OURS);
  // Not returned as it is: the parent would be let go of first.
  if (entry.kind === 'link') {
    await createLink(parent, last, entry.target);
    return;
  }
  await using file = await createFile(parent, last, { mode: 0o600, owner: OURS });
  for await (const chunk of entry.body) await file.writeFile(chunk);
  await giveTo(`/proc/self/fd/${file.fd}`, entry.uid);
  await file.utimes(entry.modifiedAt, entry.modifiedAt);
  await file.chmod(entry.mode & 0o777);
}

async function closeToOthers(staging: HeldDirectory, names: readonly string[]): Promise<void> {
  for (let depth = 1; depth <= names.length; depth++) {
    await using directory = await openBelow(staging, names.slice(0, depth));
    await chmod(`/proc/self/fd/${directory.fd}`, 0o700);
  }
}

/** Only root can give a file away. */
async function giveTo(self: string, uid = 0): Promise<void> {
  if (process.getuid?.() === 0) await chown(self, uid, uid);
}

/** In an empty directory that nobody else sees, all that is in the way came from the backup itself. */
async function placed(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (isPlatformError(error, 'file_conflict') || isPlatformError(error, 'file_not_found'))
      throw invalidBackup('it has a path twice, or one that goes through a link', error);
    throw error;
  }
}

function namesOf(place: Buffer): readonly Buffer[] {
  const parts = place.toString('latin1').split('/');
  const names = parts.filter((part) => part !== '');
  if (names.some((part) => part === '.' || part === '..' || part.includes('\0'))) throw invalidBackup('it has a path that leads out of it');
  return names.map((part) => Buffer.from(part, 'latin1'));
}
