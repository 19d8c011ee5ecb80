import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PlatformError } from '../base/errors.ts';
import { GATEWAY_SOCKET_NAME } from '../egress/gateway.ts';
import { removeIn } from './directories.ts';

/** Longest path of a unix socket on Linux, without the closing NUL. */
const MAX_SOCKET_PATH = 107;
/** Beside the directories, since a sandbox sees what is in its own. */
const OWNERS = '.owners';

/** The server that made a socket directory. */
export interface SocketOwner {
  readonly installation: string;
  readonly node: string;
}

/**
 * Where a sandbox's gateway socket lies: in the data directory, or in the system's temporary one when the
 * path would be too long for a unix socket. The parent is closed to others; the sandbox sees only its own.
 */
export function socketDirectory(dataDir: string, sandboxId: string): string {
  const [local, temporary] = socketParents(dataDir);
  const isShort = Buffer.byteLength(path.join(local, sandboxId, GATEWAY_SOCKET_NAME)) <= MAX_SOCKET_PATH;
  return path.join(isShort ? local : temporary, sandboxId);
}

/** The directories that hold socket directories. */
export function socketParents(dataDir: string): readonly [local: string, temporary: string] {
  const installation = createHash('sha256').update(dataDir).digest('hex').slice(0, 12);
  return [path.join(dataDir, 'run'), path.join(os.tmpdir(), `cloister-${installation}`)];
}

/** Makes it, and writes down whose it is before it is there, so that none is ever nobody's. */
export async function ensureSocketDirectory(dataDir: string, sandboxId: string, owner: SocketOwner): Promise<string> {
  const directory = socketDirectory(dataDir, sandboxId);
  const parent = path.dirname(directory);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  if (parent !== socketParents(dataDir)[0]) await requireOwnDirectory(parent);
  await mkdir(path.join(parent, OWNERS), { recursive: true, mode: 0o700 });
  await writeFile(path.join(parent, OWNERS, sandboxId), `${owner.installation} ${owner.node}`, { mode: 0o600 });
  await mkdir(directory, { recursive: true, mode: 0o755 });
  return directory;
}

/** The temporary directory is everybody's: whoever was there first may have put anything under the name. */
async function requireOwnDirectory(parent: string): Promise<void> {
  const stats = await lstat(parent);
  const uid = process.getuid?.();
  if (stats.isDirectory() && (uid === undefined || stats.uid === uid || stats.uid === 0)) return;
  throw new PlatformError('config_invalid', {
    detail: `${parent}, where the sockets of sandboxes lie, belongs to somebody else; remove it, or choose another DATA_DIR.`,
    fields: [{ pointer: 'DATA_DIR', message: 'its directory for sockets belongs to somebody else' }],
  });
}

export async function removeSocketDirectory(dataDir: string, sandboxId: string): Promise<void> {
  await removeSocketsIn(path.dirname(socketDirectory(dataDir, sandboxId)), sandboxId);
}

/** The owner's name goes last: a removal that breaks off is found again. */
export async function removeSocketsIn(parent: string, sandboxId: string): Promise<void> {
  await removeIn(parent, sandboxId);
  await rm(path.join(parent, OWNERS, sandboxId), { force: true });
}

/** The sandboxes of which there is a socket directory, or the name of its owner. */
export async function socketDirectoriesIn(parent: string): Promise<readonly string[]> {
  const found = await Promise.all([parent, path.join(parent, OWNERS)].map(namesIn));
  return [...new Set(found.flat())].filter((name) => /^sbx_\w+$/.test(name));
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Undefined for one that a server made which did not write this down yet. */
export async function socketOwner(parent: string, sandboxId: string): Promise<SocketOwner | undefined> {
  try {
    const [installation = '', node = ''] = (await readFile(path.join(parent, OWNERS, sandboxId), 'utf8')).split(' ');
    return { installation, node };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** When the directory, or its owner's name, was last changed; undefined when neither is there. */
export async function changedAt(parent: string, sandboxId: string): Promise<number | undefined> {
  for (const one of [path.join(parent, sandboxId), path.join(parent, OWNERS, sandboxId)]) {
    try {
      return (await lstat(one)).mtimeMs;
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return undefined;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
