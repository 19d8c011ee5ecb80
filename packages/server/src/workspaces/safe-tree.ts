import type { Stats } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { fileProblem } from './file-problem.ts';
import {
  createFile,
  type HeldDirectory,
  type HeldFile,
  lookAt,
  makeBelow,
  makeDirectory,
  moveFileNew,
  moveOver,
  type Owner,
  openBelow,
  openFile,
  openRoot,
  readLink,
  removeEmpty,
  removeFile,
} from './held-directory.ts';
import { nameText } from './paths.ts';
import { randomName } from './random-name.ts';
import { removeTree } from './remove-tree.ts';

export interface TreeEntry {
  /** Shown with a replacement for bytes that are no text. */
  readonly name: string;
  /** Undefined for a name that no request can have: it goes with its directory. */
  readonly path: string | undefined;
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  readonly size: number;
  readonly modifiedAtMs: number;
  readonly isExecutable: boolean;
  /** What a link says. It is never followed. */
  readonly target: string | undefined;
}

export interface TreePage {
  readonly entries: readonly TreeEntry[];
  /** Bytes of the last name, when there are more. */
  readonly next: Buffer | undefined;
}

/**
 * The files of one workspace, safe against whoever works in it at the same time. Paths are the components that
 * `parsePath` gives. Every method throws `file_not_found`, `file_conflict` or `file_refused` where that is the reason.
 */
export interface SafeTree {
  /** A page of a directory, by the bytes of the names. However many there are, only a page of them is held. */
  list(
    path: readonly string[],
    options: { readonly limit: number; readonly after?: Buffer | undefined; signal?: AbortSignal },
  ): Promise<TreePage>;
  stat(path: readonly string[]): Promise<TreeEntry>;
  /** The caller closes it. */
  openFile(path: readonly string[]): Promise<HeldFile>;
  /** Writes a file whole or not at all, with the directories it needs. Throws `file_too_large`. */
  write(path: readonly string[], source: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<TreeEntry>;
  makeDirectory(path: readonly string[]): Promise<TreeEntry>;
  remove(path: readonly string[], options: { readonly isRecursive: boolean }): Promise<void>;
  /** Moves a file or directory. Without `isReplacing` throws `file_conflict` when the new name is taken. */
  move(from: readonly string[], to: readonly string[], options: { readonly isReplacing: boolean }): Promise<TreeEntry>;
}

export interface WriteOptions {
  readonly maxBytes: number;
  /** Throw `file_conflict` when the name is taken. */
  readonly isNew?: boolean;
}

export interface TreePlaces {
  /** The directory that the sandbox has too. */
  readonly root: string;
  /** One on the same filesystem that no sandbox ever sees, where files are made ready. */
  readonly staging: string;
  readonly owner: Owner;
}

const MAX_LINK_SHOWN = 4096;

export function createSafeTree(places: TreePlaces): SafeTree {
  const { root, owner } = places;
  return {
    async list(path, { limit, after, signal }) {
      await using directory = await openPath(root, path);
      const { names, hasMore } = await smallest(directory.names(), { limit, after, signal });
      const entries = await Promise.all(names.map((name) => entryOf(directory, path, name)));
      return { entries: entries.filter((one) => one !== undefined), next: hasMore ? names.at(-1) : undefined };
    },
    async stat(path) {
      const last = lastOf(path);
      await using parent = await openPath(root, path.slice(0, -1));
      return await requireEntry(parent, path.slice(0, -1), last);
    },
    async openFile(path) {
      const last = lastOf(path);
      await using parent = await openPath(root, path.slice(0, -1));
      return await openFile(parent, last, owner);
    },
    write: (path, source, options) => write(places, path, source, options),
    async makeDirectory(path) {
      const last = lastOf(path);
      await using top = await openRoot(root);
      await using parent = await makeBelow(top, path.slice(0, -1), owner);
      await makeDirectory(parent, last, owner);
      return await requireEntry(parent, path.slice(0, -1), last);
    },
    async remove(path, { isRecursive }) {
      const last = lastOf(path);
      await using parent = await openPath(root, path.slice(0, -1));
      const stats = await lookAt(parent, last);
      if (!stats.isDirectory()) await removeFile(parent, last);
      else if (isRecursive) await removeTree(parent, last);
      else await removeEmpty(parent, last);
    },
    move: (from, to, options) => move(places, from, to, options),
  };
}

/** Makes the staging directory, which is the server's alone, and opens it. */
export async function openStaging(staging: string): Promise<HeldDirectory> {
  try {
    await mkdir(staging, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileProblem(error, 'the staging directory');
  }
  return openRoot(staging);
}

async function openPath(root: string, path: readonly string[]): Promise<HeldDirectory> {
  await using top = await openRoot(root);
  return await openBelow(top, path);
}

async function write(
  { root, staging, owner }: TreePlaces,
  path: readonly string[],
  source: AsyncIterable<Uint8Array>,
  { maxBytes, isNew = false }: WriteOptions,
): Promise<TreeEntry> {
  const [parents, last] = [path.slice(0, -1), lastOf(path)];
  await using drafts = await openStaging(staging);
  await using top = await openRoot(root);
  const draft = { directory: drafts, name: randomName() };
  try {
    await writeDraft(drafts, draft.name, source, { maxBytes, owner, mode: await modeOf(top, path) });
    await using parent = await makeBelow(top, parents, owner);
    const place = { directory: parent, name: last };
    await (isNew ? moveFileNew(draft, place) : moveOver(draft, place));
    return await requireEntry(parent, parents, last);
  } finally {
    await removeTree(drafts, draft.name);
  }
}

async function writeDraft(
  drafts: HeldDirectory,
  name: string,
  source: AsyncIterable<Uint8Array>,
  { maxBytes, owner, mode }: { readonly maxBytes: number; readonly owner: Owner; readonly mode: number },
): Promise<void> {
  await using file = await createFile(drafts, name, { mode, owner });
  let size = 0;
  try {
    for await (const chunk of source) {
      size += chunk.byteLength;
      if (size > maxBytes) throw new PlatformError('file_too_large', { detail: `The file is larger than ${maxBytes} bytes.` });
      await file.writeFile(chunk);
    }
    await file.datasync();
  } catch (error) {
    throw fileProblem(error, 'The file');
  }
}

/** A file that is written again keeps its mode, so that a script stays one. */
async function modeOf(top: HeldDirectory, path: readonly string[]): Promise<number> {
  try {
    await using parent = await openBelow(top, path.slice(0, -1));
    const stats = await lookAt(parent, lastOf(path));
    return stats.isFile() ? stats.mode & 0o777 : 0o644;
  } catch (error) {
    if (isPlatformError(error, 'file_not_found')) return 0o644;
    throw error;
  }
}

async function move(
  { root, owner }: TreePlaces,
  from: readonly string[],
  to: readonly string[],
  { isReplacing }: { readonly isReplacing: boolean },
): Promise<TreeEntry> {
  const [oldName, newName] = [lastOf(from), lastOf(to)];
  await using top = await openRoot(root);
  await using source = await openBelow(top, from.slice(0, -1));
  const stats = await lookAt(source, oldName);
  await using target = await makeBelow(top, to.slice(0, -1), owner);
  const [old, place] = [
    { directory: source, name: oldName },
    { directory: target, name: newName },
  ];
  if (isReplacing) await moveOver(old, place);
  else if (stats.isFile()) await moveFileNew(old, place);
  else {
    await refuseTaken(target, newName);
    await moveOver(old, place);
  }
  return await requireEntry(target, to.slice(0, -1), newName);
}

async function refuseTaken(target: HeldDirectory, name: string): Promise<void> {
  try {
    await lookAt(target, name);
  } catch (error) {
    if (isPlatformError(error, 'file_not_found')) return;
    throw error;
  }
  throw new PlatformError('file_conflict', { detail: 'The new name is taken.' });
}

/** The first `limit` names after `after`, in order, of however many. */
async function smallest(
  names: AsyncIterable<Buffer>,
  { limit, after, signal }: { readonly limit: number; readonly after: Buffer | undefined; readonly signal: AbortSignal | undefined },
): Promise<{ readonly names: readonly Buffer[]; readonly hasMore: boolean }> {
  let kept: Buffer[] = [];
  const cut = () => {
    kept = kept.toSorted(Buffer.compare).slice(0, limit + 1);
  };
  for await (const name of names) {
    signal?.throwIfAborted();
    if (after !== undefined && Buffer.compare(name, after) <= 0) continue;
    if (kept.push(name) >= 4 * (limit + 1)) cut();
  }
  cut();
  return { names: kept.slice(0, limit), hasMore: kept.length > limit };
}

async function requireEntry(held: HeldDirectory, parents: readonly string[], name: string): Promise<TreeEntry> {
  const entry = await entryOf(held, parents, Buffer.from(name));
  if (entry === undefined) throw new PlatformError('file_not_found', { detail: `${JSON.stringify(name)} is not there.` });
  return entry;
}

/** Undefined for what has gone meanwhile. */
async function entryOf(held: HeldDirectory, parents: readonly string[], name: Buffer): Promise<TreeEntry | undefined> {
  try {
    const stats = await lookAt(held, name);
    const text = nameText(name);
    return {
      name: text ?? name.toString('utf8'),
      path: text === undefined ? undefined : [...parents, text].join('/'),
      kind: kindOf(stats),
      size: stats.isFile() ? stats.size : 0,
      modifiedAtMs: Math.floor(stats.mtimeMs),
      isExecutable: stats.isFile() && (stats.mode & 0o100) !== 0,
      target: stats.isSymbolicLink() ? (await readLink(held, name)).toString('utf8').slice(0, MAX_LINK_SHOWN) : undefined,
    };
  } catch (error) {
    if (isPlatformError(error, 'file_not_found') || isPlatformError(error, 'file_conflict')) return undefined;
    throw error;
  }
}

function kindOf(stats: Stats): TreeEntry['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'link' : 'other';
}

function lastOf(path: readonly string[]): string {
  const last = path.at(-1);
  if (last !== undefined) return last;
  const message = 'names the workspace itself, where something in it is meant';
  throw new PlatformError('path_invalid', { detail: `The path ${message}.`, fields: [{ pointer: 'path', message }] });
}
