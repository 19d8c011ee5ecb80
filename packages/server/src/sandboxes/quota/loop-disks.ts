/**
 * Disks of a fixed size in files: a sparse ext4 image per tree, mounted over the tree's own directory, so that every
 * path stays what it is without one. Whatever is written there, by whomever, ends at the image's size and at its number
 * of inodes. `mount` finds a loop device that has the image already, also one of another process, so the same image
 * never has two; that holds on one machine, and so only on a filesystem of one machine are disks made at all.
 */
import { access, chmod, link, lstat, mkdir, open, readFile, realpath, rm, rmdir, statfs, utimes } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { newUnique } from '../../base/ids.ts';
import { runCommand } from './command.ts';

export interface LoopDisks {
  /** Why no disk can be made here, or undefined. Finds out once, by making one. */
  obstacle(): Promise<string | undefined>;
  hasImage(id: string): Promise<boolean>;
  /** Makes the image, empty. One that is there stays as it is. */
  create(id: string, bytes: number): Promise<void>;
  /** Mounts the image over the tree's directory, unless it is. Throws `workspace_unavailable`. */
  mount(id: string, root: string): Promise<void>;
  /** Unmounts; `isForced` also what is still in use: it ends when the last user lets go. False when it is in use. */
  unmount(root: string, options: { readonly isForced: boolean }): Promise<boolean>;
  removeImage(id: string): Promise<void>;
  /** The trees below the folder that are mounted, and when each was last used. */
  mounted(): Promise<readonly { readonly id: string; readonly usedAt: number }[]>;
  /** Says that the tree is in use. */
  touch(id: string): Promise<void>;
}

/** One inode for so many bytes, as mkfs has it; and never fewer than this. */
const BYTES_PER_INODE = 16_384;
const MIN_INODES = 16_384;
export function inodesOf(bytes: number): number {
  return Math.max(MIN_INODES, Math.floor(bytes / BYTES_PER_INODE));
}

const TRIAL_BYTES = 32 * 1024 ** 2;
/** Filesystems that one machine has for itself: ext, xfs, btrfs, tmpfs, overlay, zfs, f2fs, bcachefs. */
const LOCAL_FILESYSTEMS = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010, 0xca451a4e]);

export interface LoopDisksOptions {
  /** The directory whose entries are the trees. */
  readonly folder: string;
  readonly clock: Clock;
  /** Whether sandboxes see what this process mounts. */
  readonly seesOurMounts: () => Promise<boolean>;
}

export function createLoopDisks({ folder, clock, seesOurMounts }: LoopDisksOptions): LoopDisks {
  const images = path.join(folder, '.disks');
  const imageOf = (id: string) => path.join(images, `${id}.img`);
  let found: Promise<string | undefined> | undefined;

  async function create(id: string, bytes: number): Promise<void> {
    await mkdir(images, { recursive: true, mode: 0o700 });
    const draft = path.join(images, `.${newUnique()}.draft`);
    try {
      await using file = await open(draft, 'wx', 0o600);
      await file.truncate(bytes);
      await must('mkfs.ext4', mkfsArgs(draft, bytes));
      await link(draft, imageOf(id)).catch((error: unknown) => unlessCode(error, 'EEXIST'));
    } finally {
      await rm(draft, { force: true });
    }
  }

  const mount = (id: string, root: string) => mountImage(imageOf(id), root);

  async function tryOut(): Promise<string | undefined> {
    const why = await whyNot(folder, seesOurMounts);
    if (why !== undefined) return why;
    const [id, root] = [`trial_${newUnique()}`, path.join(images, newUnique())];
    try {
      await create(id, TRIAL_BYTES);
      await mkdir(root);
      await mount(id, root);
      await unmount(root, { isForced: true });
      return undefined;
    } catch (error) {
      return error instanceof PlatformError ? error.detail : String(error);
    } finally {
      await rmdir(root).catch(() => undefined); // never made, or still mounted: then it stays to be seen
      await rm(imageOf(id), { force: true });
    }
  }

  return {
    async obstacle() {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      found ??= tryOut();
      return found;
    },
    hasImage: (id) => exists(imageOf(id)),
    create,
    mount,
    unmount,
    removeImage: (id) => rm(imageOf(id), { force: true }),
    async mounted() {
      const all: { id: string; usedAt: number }[] = [];
      for (const id of await mountsIn(folder)) {
        const used = await lstat(imageOf(id)).catch((error: unknown) => unlessCode(error, 'ENOENT'));
        all.push({ id, usedAt: used?.mtimeMs ?? 0 });
      }
      return all;
    },
    async touch(id) {
      const now = new Date(clock.now());
      await utimes(imageOf(id), now, now).catch((error: unknown) => unlessCode(error, 'ENOENT'));
    },
  };
}

async function mountImage(image: string, root: string): Promise<void> {
  if (await isMountPoint(root)) return;
  const options = 'loop,nosuid,nodev,noatime,discard';
  // The lock is for other servers that mount the same: two at once would each make a loop device.
  const { code, stderr } = await runCommand('flock', ['-w', '30', image, 'mount', '-t', 'ext4', '-o', options, image, root]);
  if (code !== 0 && !(await isMountPoint(root))) throw failure('mount', stderr);
  await rmdir(path.join(root, 'lost+found')).catch((error: unknown) => unlessCode(error, 'ENOENT', 'ENOTEMPTY'));
  await chmod(root, 0o700);
}

async function unmount(root: string, { isForced }: { readonly isForced: boolean }): Promise<boolean> {
  for (;;) {
    if (!(await isMountPoint(root))) return true;
    const { code, stderr } = await runCommand('umount', [root]);
    if (code === 0) continue;
    if (!isForced) return false;
    if (await isMountPoint(root)) await must('umount', ['-l', root], stderr);
  }
}

async function whyNot(folder: string, seesOurMounts: () => Promise<boolean>): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'disks are made on Linux only';
  if (process.getuid?.() !== 0) return 'the server does not run as root, which alone may mount';
  const { type } = await statfs(folder);
  if (!LOCAL_FILESYSTEMS.has(type >>> 0)) return 'the files lie on a filesystem that several machines may share';
  return (await seesOurMounts()) ? undefined : 'the container engine does not see what this server mounts';
}

function mkfsArgs(image: string, bytes: number): readonly string[] {
  const extended = 'lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0';
  return ['-q', '-F', '-m', '0', '-N', String(inodesOf(bytes)), '-J', 'size=4', '-E', extended, image];
}

/** What is mounted has another device than what it lies in. What is not there is no mount. */
async function isMountPoint(root: string): Promise<boolean> {
  const own = await lstat(root).catch((error: unknown) => unlessCode(error, 'ENOENT'));
  return own !== undefined && own.dev !== (await lstat(path.dirname(root))).dev;
}

/** The names in the folder that are mount points, from the kernel's own table. */
async function mountsIn(folder: string): Promise<readonly string[]> {
  const real = await realpath(folder).catch((error: unknown) => unlessCode(error, 'ENOENT'));
  if (real === undefined || process.platform !== 'linux') return [];
  const points = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => unescaped(line.split(' ')[4] ?? ''));
  return [...new Set(points.filter((point) => path.dirname(point) === real).map((point) => path.basename(point)))];
}

/** Blanks, tabs, newlines and backslashes are written in octal there. */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

async function must(program: string, args: readonly string[], before = ''): Promise<void> {
  const { code, stderr } = await runCommand(program, args);
  if (code !== 0) throw failure(program, `${before} ${stderr}`);
}

function failure(program: string, stderr: string): PlatformError {
  const cause = new Error(`${program}: ${stderr.trim()}`);
  return new PlatformError('workspace_unavailable', { detail: `${program} failed: ${lastLine(stderr)}`, cause });
}

/** The paths of this side are for the log. */
function lastLine(stderr: string): string {
  const line = stderr.trim().split('\n').at(-1) ?? '';
  return line.replaceAll(/\/[^\s:,]+/g, '…').slice(0, 200) || 'no reason was given';
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    (error: unknown) => unlessCode(error, 'ENOENT') ?? false,
  );
}

function unlessCode(error: unknown, ...codes: readonly string[]): undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code)) return undefined;
  throw error;
}
