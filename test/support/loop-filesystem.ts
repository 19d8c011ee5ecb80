// A small disk that can be filled: an ext4 file system in a file, mounted over a loop device, and where that is
// not allowed a memory file system of the same size. Needs root; `skipWithoutMount` says when there is none.
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface SmallDisk extends AsyncDisposable {
  readonly folder: string;
  readonly kind: 'ext4' | 'tmpfs';
  /** Takes all the space that is left, to the last byte. */
  fill(): void;
  /** Gives it back. */
  free(): Promise<void>;
  unmount(): Promise<void>;
}

const SIZE_MB = 64;
const CHUNK = Buffer.alloc(1024 * 1024);

/** For node:test's `skip`: why no file system can be mounted here, or false. */
export const skipWithoutMount: string | false = reasonAgainst();

export async function mountSmallDisk(): Promise<SmallDisk> {
  const root = await mkdtemp(path.join(tmpdir(), 'cloister-disk-'));
  const folder = path.join(root, 'disk');
  await mkdir(folder);
  const kind = mountExt4(path.join(root, 'image'), folder) ? 'ext4' : mountTmpfs(folder);
  const ballast = path.join(folder, 'ballast');
  const unmount = async (): Promise<void> => {
    execFileSync('umount', ['--lazy', folder]);
    await rm(root, { recursive: true, force: true });
  };
  return {
    folder,
    kind,
    fill: () => fillUp(ballast),
    free: () => rm(ballast, { force: true }),
    unmount,
    [Symbol.asyncDispose]: unmount,
  };
}

function fillUp(file: string): void {
  const fd = openSync(file, 'a');
  try {
    // Smaller and smaller pieces, until not one byte more has room.
    for (let size = CHUNK.length; size >= 1; size = Math.floor(size / 4)) while (hasRoom(fd, size));
    fsyncSync(fd);
  } catch (error) {
    if (!isFull(error)) throw error;
  } finally {
    closeSync(fd);
  }
}

function hasRoom(fd: number, size: number): boolean {
  try {
    return writeSync(fd, CHUNK, 0, size) === size;
  } catch (error) {
    if (isFull(error)) return false;
    throw error;
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOSPC';
}

function mountExt4(image: string, folder: string): boolean {
  try {
    const fd = openSync(image, 'w');
    ftruncateSync(fd, SIZE_MB * 1024 * 1024);
    closeSync(fd);
    // No blocks are kept back for root, which the server is here.
    execFileSync('mkfs.ext4', ['-q', '-m', '0', image], { stdio: 'ignore' });
    execFileSync('mount', ['-o', 'loop', image, folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function mountTmpfs(folder: string): 'tmpfs' {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MB}m`, 'tmpfs', folder], { stdio: 'ignore' });
  return 'tmpfs';
}

function reasonAgainst(): string | false {
  if (process.platform !== 'linux') return 'a small disk can only be mounted on Linux';
  return process.getuid?.() === 0 ? false : 'needs root, to mount a small disk';
}
