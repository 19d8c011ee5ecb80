import type { Stats } from 'node:fs';
import { isPlatformError } from '../base/errors.ts';
import { sandboxUser } from '../sandboxes/directories.ts';
import { type HeldDirectory, lookAt, openBelow, openFile, openRoot, readLink } from '../workspaces/held-directory.ts';
import { BLOCK, formatHeader, paddingOf } from '../workspaces/tar-format.ts';
import type { Place } from './places.ts';

/** What was read of a place. */
export interface PackReport {
  entries: number;
  readonly omitted: string[];
  /** Changed while it was read. */
  readonly unsteady: string[];
}

/** Directories held at once; what lies deeper is left out. */
const MAX_DEPTH = 128;
const CHUNK = 256 * 1024;
/** Names told at most; that something is missing has been said by then. */
const MAX_NAMES = 100;

/**
 * A tar archive of a place, read through held directories, since most of it belongs to sandboxes which may be at work:
 * no link is followed, and nothing is opened but files. Modes, times and owners are in it.
 */
export async function* packPlace({ directory, into, only }: Place, report: PackReport): AsyncGenerator<Buffer> {
  await using held = await openRoot(directory);
  const walk: Walk = { report, into, depth: 0, only: only === undefined ? undefined : new Set(only) };
  yield* packHeld(held, Buffer.alloc(0), walk);
  yield Buffer.alloc(2 * BLOCK);
}

interface Walk {
  readonly report: PackReport;
  readonly into: string;
  readonly depth: number;
  readonly only: ReadonlySet<string> | undefined;
}

async function* packHeld(held: HeldDirectory, prefix: Buffer, walk: Walk): AsyncGenerator<Buffer> {
  for await (const name of onceEach(held.names())) {
    if (walk.only !== undefined && !walk.only.has(name.toString())) continue;
    const place = prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
    try {
      yield* packEntry(held, name, { place, walk });
    } catch (error) {
      // What has gone meanwhile is not missing; the rest became something else, or may not be read.
      if (isPlatformError(error, 'file_not_found')) continue;
      if (!isPlatformError(error, 'file_refused') && !isPlatformError(error, 'file_conflict')) throw error;
      tell(walk.report.omitted, place);
    }
  }
}

/** A directory in which something is renamed while it is read may tell a name twice; a backup may not. */
export async function* onceEach(names: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const seen = new Set<string>();
  for await (const name of names) {
    const text = name.toString('latin1');
    if (seen.has(text)) continue;
    seen.add(text);
    yield name;
  }
}

interface Entry {
  readonly place: Buffer;
  readonly walk: Walk;
}

async function* packEntry(held: HeldDirectory, name: Buffer, { place, walk }: Entry): AsyncGenerator<Buffer> {
  const stats = await lookAt(held, name);
  const common = {
    path: place,
    mode: stats.mode,
    modifiedAt: stats.mtimeMs / 1000,
    size: 0,
    target: Buffer.alloc(0),
    uid: ownerOf(stats, walk),
  };
  if (stats.isDirectory() && walk.depth < MAX_DEPTH) {
    await using inner = await openBelow(held, [name]);
    yield formatHeader({ ...common, kind: 'directory' });
    walk.report.entries++;
    yield* packHeld(inner, place, { ...walk, depth: walk.depth + 1, only: undefined });
  } else if (stats.isSymbolicLink()) {
    yield formatHeader({ ...common, kind: 'link', target: await readLink(held, name) });
    walk.report.entries++;
  } else if (stats.isFile()) {
    await using file = await openFile(held, name, sandboxUser());
    yield formatHeader({ ...common, kind: 'file', size: file.stats.size });
    const isWhole = yield* readExactly(file.handle, file.stats.size);
    yield Buffer.alloc(paddingOf(file.stats.size));
    walk.report.entries++;
    if (!isWhole || hasChanged(file.stats, await file.handle.stat())) tell(walk.report.unsteady, place);
  } else if (stats.isDirectory() || !stats.isSocket()) tell(walk.report.omitted, place);
}

function hasChanged(before: Stats, after: Stats): boolean {
  return before.size !== after.size || before.mtimeMs !== after.mtimeMs || before.ctimeMs !== after.ctimeMs;
}

interface Readable {
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
}

/** Answers whether there was as much as it had been; what is missing is filled up, as the header has promised. */
async function* readExactly(handle: Readable, size: number): AsyncGenerator<Buffer, boolean> {
  let isWhole = true;
  for (let at = 0; at < size; ) {
    const buffer = Buffer.alloc(Math.min(CHUNK, size - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) isWhole = false;
    const chunk = bytesRead === 0 ? buffer : buffer.subarray(0, bytesRead);
    at += chunk.length;
    yield chunk;
  }
  return isWhole;
}

/**
 * A server that is not root has one user for all; then the place says what is the sandboxes', so that a server which
 * is root can give it to them again.
 */
function ownerOf(stats: Stats, { into, depth }: Walk): number {
  if (process.getuid?.() === 0) return stats.uid;
  const level = depth + into.split('/').filter((part) => part !== '').length;
  return /^(sessions|folders)(\/|$)/.test(into) && level >= 2 ? 1000 : 0;
}

function tell(list: string[], place: Buffer): void {
  if (list.length < MAX_NAMES) list.push(place.toString().toWellFormed());
}
