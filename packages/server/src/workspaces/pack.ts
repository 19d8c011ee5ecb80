import { isPlatformError } from '../base/errors.ts';
import { type HeldDirectory, lookAt, type Owner, openBelow, openFile, openRoot, readLink } from './held-directory.ts';
import { BLOCK, formatHeader, paddingOf } from './tar-format.ts';

/** What an archive does not hold, since tar or the platform has no place for it. */
export interface Omitted {
  count: number;
}

/** Directories held at once; what lies deeper is left out. */
const MAX_DEPTH = 128;
const CHUNK = 256 * 1024;

/**
 * A tar archive of all that is in a directory, as it is read: files, directories and links as they are, none followed.
 * A file that shrinks while it is read is filled up with zeros, as tar does. What cannot be read safely (pipes,
 * sockets, devices, closed or strange files) is left out and counted.
 */
export async function* packTree(held: HeldDirectory, owner: Owner, omitted: Omitted = { count: 0 }): AsyncGenerator<Buffer> {
  yield* packHeld(held, Buffer.alloc(0), { owner, omitted, depth: 0 });
  yield Buffer.alloc(2 * BLOCK);
}

/** The same of a directory by its path, which must be one that only its owner controls. */
export async function* packDirectory(path: string): AsyncGenerator<Buffer> {
  await using held = await openRoot(path);
  yield* packTree(held, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
}

interface Walk {
  readonly owner: Owner;
  readonly omitted: Omitted;
  readonly depth: number;
}

async function* packHeld(held: HeldDirectory, prefix: Buffer, walk: Walk): AsyncGenerator<Buffer> {
  for await (const name of held.names()) {
    try {
      yield* packEntry(held, name, prefix, walk);
    } catch (error) {
      // It has gone, or become something else, or may not be read.
      if (!['file_not_found', 'file_refused', 'file_conflict'].some((code) => isPlatformError(error) && error.code === code)) throw error;
      walk.omitted.count++;
    }
  }
}

async function* packEntry(held: HeldDirectory, name: Buffer, prefix: Buffer, walk: Walk): AsyncGenerator<Buffer> {
  const stats = await lookAt(held, name);
  const path = prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
  const common = { path, mode: stats.mode, modifiedAt: stats.mtimeMs / 1000, size: 0, target: Buffer.alloc(0) };
  if (stats.isDirectory() && walk.depth < MAX_DEPTH) {
    await using inner = await openBelow(held, [name]);
    yield formatHeader({ ...common, kind: 'directory' });
    yield* packHeld(inner, path, { ...walk, depth: walk.depth + 1 });
  } else if (stats.isSymbolicLink()) yield formatHeader({ ...common, kind: 'link', target: await readLink(held, name) });
  else if (stats.isFile()) {
    await using file = await openFile(held, name, walk.owner);
    yield formatHeader({ ...common, kind: 'file', size: file.stats.size });
    for await (const chunk of readExactly(file.handle, file.stats.size)) yield chunk;
    yield Buffer.alloc(paddingOf(file.stats.size));
  } else walk.omitted.count++;
}

interface Readable {
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
}

async function* readExactly(handle: Readable, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; ) {
    const buffer = Buffer.alloc(Math.min(CHUNK, size - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    // With nothing more to come, the rest is the zeros that the buffer has.
    const chunk = bytesRead === 0 ? buffer : buffer.subarray(0, bytesRead);
    at += chunk.length;
    yield chunk;
  }
}
