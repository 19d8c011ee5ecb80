/**
 * The one way in which host code gets at files that a sandbox controls. The sandbox may put a link in the place of
 * any component of any path at any moment, so a path that was looked at says nothing about what it leads to next.
 * Here a directory is held by a descriptor, and each name is resolved alone, beneath a held directory:
 * `/proc/self/fd/<fd>/<name>` with O_NOFOLLOW is what openat(2) does, which Node does not have. What a descriptor
 * leads to cannot be changed by renaming anything. No function here takes a path of more than one component.
 */
import { constants, type Dirent, type Stats } from 'node:fs';
import {
  chmod,
  type FileHandle,
  link,
  lstat,
  mkdir,
  open,
  opendir,
  readlink,
  rename,
  rmdir,
  stat,
  symlink,
  unlink,
} from 'node:fs/promises';
import { PlatformError } from '../base/errors.ts';
import { fileProblem } from './file-problem.ts';
import type { Name } from './paths.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
/** Names the file without opening it: never blocks, wakes no device. Node has no constant for it. */
const O_PATH = 0o10_000_000;
const DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A directory held open. Whoever got it closes it. */
export interface HeldDirectory extends AsyncDisposable {
  readonly fd: number;
  /** The names in it, as they are read; what is there changes meanwhile. */
  names(): AsyncGenerator<Buffer>;
  close(): Promise<void>;
}

/** A regular file held open, with what it was like when it was opened. */
export interface HeldFile extends AsyncDisposable {
  readonly handle: FileHandle;
  readonly stats: Stats;
  close(): Promise<void>;
}

/** Opens a directory whose own path only the server controls, such as a session's workspace. Throws where this cannot be done safely. */
export async function openRoot(path: string): Promise<HeldDirectory> {
  if (process.platform !== 'linux')
    throw new PlatformError('capability_unsupported', {
      detail: `Files of workspaces can only be reached safely on Linux; this server runs on ${process.platform}.`,
    });
  const held = await hold(path);
  try {
    const [seen, own] = await Promise.all([stat(`/proc/self/fd/${held.fd}`), stat(path)]);
    if (seen.ino === own.ino && seen.dev === own.dev) return held;
  } catch (cause) {
    await held.close();
    throw new PlatformError('capability_unsupported', { detail: 'Files of workspaces need /proc, which is not mounted here.', cause });
  }
  await held.close();
  throw new PlatformError('capability_unsupported', { detail: 'Files of workspaces need a /proc that shows this process.' });
}

/** The directory `names` below `from`, no link followed. Throws `file_not_found`. */
export async function openBelow(from: HeldDirectory, names: readonly Name[]): Promise<HeldDirectory> {
  let held = await hold(`/proc/self/fd/${from.fd}/.`);
  for (const name of names) held = await step(held, () => hold(at(held, name)), name);
  return held;
}

/** The same, and makes what is missing on the way, for `owner`. Throws `file_conflict` where something else is in the way. */
export async function makeBelow(from: HeldDirectory, names: readonly Name[], owner: Owner): Promise<HeldDirectory> {
  let held = await hold(`/proc/self/fd/${from.fd}/.`);
  for (const name of names) held = await step(held, () => makeOne(held, name, owner), name);
  return held;
}

async function step(held: HeldDirectory, next: () => Promise<HeldDirectory>, name: Name): Promise<HeldDirectory> {
  try {
    return await next();
  } catch (error) {
    throw fileProblem(error, name);
  } finally {
    await held.close();
  }
}

async function makeOne(held: HeldDirectory, name: Name, owner: Owner): Promise<HeldDirectory> {
  let isMade = true;
  try {
    await mkdir(at(held, name), { mode: 0o755 });
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
    isMade = false;
  }
  const made = await open(at(held, name), DIRECTORY_FLAGS).catch((error: unknown) => {
    if (isCode(error, 'ENOTDIR', 'ELOOP'))
      throw new PlatformError('file_conflict', { detail: `${shown(name)} is there and is no directory.` });
    throw error;
  });
  if (isMade) await own(made, owner);
  return toHeld(made);
}

/** Makes a directory that must not be there yet. Throws `file_conflict`. */
export async function makeDirectory(held: HeldDirectory, name: Name, owner: Owner): Promise<void> {
  await tried(name, () => mkdir(at(held, name), { mode: 0o755 }));
  await using made = await tried(name, () => hold(at(held, name)));
  await ownFd(made.fd, owner);
}

export function lookAt(held: HeldDirectory, name: Name): Promise<Stats> {
  return tried(name, () => lstat(at(held, name)));
}

/** The text of a link: to be shown or kept, never to be followed. */
export function readLink(held: HeldDirectory, name: Name): Promise<Buffer> {
  return tried(name, () => readlink(at(held, name), { encoding: 'buffer' }));
}

/**
 * Opens a regular file for reading. The file is first named without opening it, looked at, and then opened through
 * that very descriptor, so that no pipe, device or socket is ever opened. A file with several names is opened only
 * if it belongs to the sandbox's user: nobody else could have given it another name.
 */
export async function openFile(held: HeldDirectory, name: Name, owner: Owner): Promise<HeldFile> {
  await using named = await tried(name, () => open(at(held, name), O_PATH | O_NOFOLLOW));
  const stats = await named.stat();
  if (!stats.isFile())
    throw new PlatformError('file_refused', { detail: `${shown(name)} is ${kindName(stats)}; only regular files are read.` });
  if (stats.nlink > 1 && stats.uid !== owner.uid)
    throw new PlatformError('file_refused', { detail: `${shown(name)} has several names and belongs to another user.` });
  const handle = await tried(name, () => open(`/proc/self/fd/${named.fd}`, O_RDONLY | O_NONBLOCK));
  return { handle, stats, close: () => handle.close(), [Symbol.asyncDispose]: () => handle.close() };
}

/** Makes a new file for `owner` to be written by the caller, who closes it. Throws `file_conflict` when the name is taken. */
export async function createFile(held: HeldDirectory, name: Name, { mode, owner }: { mode: number; owner: Owner }): Promise<FileHandle> {
  const handle = await tried(name, () => open(at(held, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK, 0o600));
  try {
    await handle.chmod(mode & 0o777);
    await own(handle, owner);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

export async function createLink(held: HeldDirectory, name: Name, target: Buffer): Promise<void> {
  await tried(name, () => symlink(target, at(held, name)));
}

interface Place {
  readonly directory: HeldDirectory;
  readonly name: Name;
}

/** Moves over whatever file or link has the name `to`; a link is replaced itself, not what it leads to. */
export async function moveOver(from: Place, to: Place): Promise<void> {
  await tried(to.name, () => rename(at(from.directory, from.name), at(to.directory, to.name)));
}

/** Gives a file a name that must be free, and takes its old one. Throws `file_conflict`. */
export async function moveFileNew(from: Place, to: Place): Promise<void> {
  await tried(to.name, () => link(at(from.directory, from.name), at(to.directory, to.name)));
  await unlink(at(from.directory, from.name));
}

/** Gives a directory back to its owner, who may have closed it to everybody: what cannot be entered cannot be emptied. */
export async function makeEnterable(held: HeldDirectory, name: Name): Promise<void> {
  await using named = await tried(name, () => open(at(held, name), O_PATH | O_DIRECTORY | O_NOFOLLOW));
  const { mode } = await named.stat();
  if ((mode & 0o700) !== 0o700) await tried(name, () => chmod(`/proc/self/fd/${named.fd}`, 0o700));
}

export async function removeFile(held: HeldDirectory, name: Name): Promise<void> {
  await tried(name, () => unlink(at(held, name)));
}

/** Removes an empty directory. Throws `file_conflict` when it is not empty. */
export async function removeEmpty(held: HeldDirectory, name: Name): Promise<void> {
  await tried(name, () => rmdir(at(held, name)));
}

async function tried<T>(name: Name, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw fileProblem(error, name);
  }
}

async function hold(path: string | Buffer): Promise<HeldDirectory> {
  return toHeld(await open(path, DIRECTORY_FLAGS));
}

function toHeld(handle: FileHandle): HeldDirectory {
  return {
    // -1 once it is closed, and then nothing resolves beneath it.
    get fd() {
      return handle.fd;
    },
    async *names() {
      // The types know only texts; with this encoding the names are the bytes on disk.
      const options = { encoding: 'buffer' } as unknown as { encoding: BufferEncoding };
      for await (const entry of await opendir(`/proc/self/fd/${handle.fd}`, options)) yield (entry as unknown as Dirent<Buffer>).name;
    },
    close: () => handle.close(),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** Only root can give a file away; any other server is the sandbox's user itself. */
async function own(handle: FileHandle, { uid, gid }: Owner): Promise<void> {
  if (process.getuid?.() === 0) await handle.chown(uid, gid);
}

async function ownFd(fd: number, owner: Owner): Promise<void> {
  await using handle = await open(`/proc/self/fd/${fd}`, O_RDONLY | O_DIRECTORY);
  await own(handle, owner);
}

function at({ fd }: HeldDirectory, name: Name): string | Buffer {
  const isBare = typeof name === 'string' ? !/[/\0]/.test(name) : !name.includes(0x2f) && !name.includes(0);
  const text = name.toString();
  if (!isBare || text === '' || text === '.' || text === '..') throw new PlatformError('bug', { cause: new Error('not one component') });
  const directory = `/proc/self/fd/${fd}/`;
  return typeof name === 'string' ? directory + name : Buffer.concat([Buffer.from(directory), name]);
}

export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

function kindName(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isSymbolicLink()) return 'a link, which is never followed';
  return stats.isFIFO() ? 'a pipe' : stats.isSocket() ? 'a socket' : 'a device';
}

function shown(name: Name): string {
  return JSON.stringify(name.toString().toWellFormed().slice(0, 80));
}
