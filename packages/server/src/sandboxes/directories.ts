import { chown, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PlatformError } from '../base/errors.ts';
import { newId, newUnique } from '../base/ids.ts';
import { isCode, openRoot } from '../workspaces/held-directory.ts';
import { removeTree } from '../workspaces/remove-tree.ts';

/** The user inside a sandbox: never root, and the server's own user when that is not root, so that both can read the files. */
export function sandboxUser(): { readonly uid: number; readonly gid: number } {
  const uid = process.getuid?.() ?? 1000;
  const gid = process.getgid?.() ?? 1000;
  return uid === 0 ? { uid: 1000, gid: 1000 } : { uid, gid };
}

export interface SessionDirectories {
  readonly home: string;
  readonly workspace: string;
}

/** Where all sessions have their files; what servers share of DATA_DIR, when they do. */
export function sessionsFolder(dataDir: string): string {
  return path.join(dataDir, 'sessions');
}

/** What memory stores are as directories, by the sessions that have them. */
export function memoryFolder(dataDir: string): string {
  return path.join(sessionsFolder(dataDir), '.memory');
}

/** Files that sessions were given and can only read. */
export function uploadsFolder(dataDir: string): string {
  return path.join(sessionsFolder(dataDir), '.uploads');
}

/** The session's durable files. Only their names are ever used on this side: what is in them belongs to the sandbox. */
export function sessionDirectories(dataDir: string, sessionId: string): SessionDirectories & { readonly root: string } {
  const root = path.join(sessionsFolder(dataDir), sessionId);
  return { root, home: path.join(root, 'home'), workspace: path.join(root, 'workspace') };
}

/** Makes the session's directories, for the sandbox's user alone. Keeps what is there. */
export async function ensureSessionDirectories(dataDir: string, sessionId: string): Promise<SessionDirectories> {
  const { root, home, workspace } = sessionDirectories(dataDir, sessionId);
  try {
    await makeDirectories(root, [home, workspace]);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') throw new PlatformError('disk_full', { cause: error });
    throw error;
  }
  return { home, workspace };
}

/** Makes the directories for the sandbox's user alone, and their root for nobody but us. Keeps what is there. */
export async function makeDirectories(root: string, directories: readonly string[]): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  const { uid, gid } = sandboxUser();
  for (const directory of directories) {
    const created = await mkdir(directory, { recursive: true, mode: 0o700 });
    if (created !== undefined && process.getuid?.() === 0) await chown(directory, uid, gid);
  }
}

/** The id of the tree in which sessions have their files, made on the first use. Servers that share the tree read the same. */
export function ensureVolume(dataDir: string): Promise<string> {
  return writeOnce(path.join(sessionsFolder(dataDir), '.volume'), newId('volume'));
}

/** The installation whose sessions the files belong to: the first that used the tree. */
export function ensureFilesOwner(dataDir: string, installation: string): Promise<string> {
  return writeOnce(path.join(sessionsFolder(dataDir), '.installation'), installation);
}

/**
 * The installation of a store in memory: the same at each start, so that what a killed server left on the engine is its
 * own. It is another than that of a database in this directory, whose sessions' files it must not take for forgotten ones.
 */
export function ensureMemoryInstallation(dataDir: string): Promise<string> {
  return writeOnce(path.join(dataDir, 'memory-installation'), newId('installation'));
}

/** Writes the file whole, unless it is there; returns what is in it. Of several at once the first wins. */
async function writeOnce(file: string, text: string): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${newUnique()}`;
  await writeFile(draft, text, { mode: 0o600 });
  try {
    await link(draft, file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    await rm(draft);
  }
  return readFile(file, 'utf8');
}

/** Removes a session's files, whatever the sandbox's user has made of them, and nothing that a link in them leads to. */
export async function removeSessionDirectories(dataDir: string, sessionId: string): Promise<void> {
  await removeIn(path.join(dataDir, 'sessions'), sessionId);
}

/** Removes `name` from a directory whose own path only servers control. What is missing already is no error. */
export async function removeIn(directory: string, name: string): Promise<void> {
  // Elsewhere a directory cannot be held; nor do sandboxes there share the server's own kernel.
  if (process.platform !== 'linux') return rm(path.join(directory, name), { recursive: true, force: true });
  try {
    await using held = await openRoot(directory);
    await removeTree(held, name);
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
}
