import { statfs } from 'node:fs/promises';
import { PlatformError } from '../../base/errors.ts';

/** Answers the kind of file system a directory lies on, as the number of statfs(2). */
export type FileSystemType = (directory: string) => Promise<number>;

/**
 * File systems on which SQLite's locks or its shared memory do not hold, by the magic numbers of Linux
 * (linux/magic.h and the file systems' own sources). Virtiofs reports itself as FUSE.
 */
const UNSAFE: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB2'],
  [0xff534d42, 'CIFS'],
  [0x01021997, '9p'],
  [0x65735546, 'FUSE or virtiofs'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x73757245, 'Coda'],
  [0x564c, 'NCP'],
  [0x00c36400, 'Ceph'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x01161970, 'GFS2'],
  [0x7461636f, 'OCFS2'],
  [0x19830326, 'BeeGFS'],
  [0xaad7aaea, 'PanFS'],
  [0x786f4256, 'a VirtualBox shared folder'],
  [0xbacbacbc, 'a VMware shared folder'],
  [0x7c7c6673, 'a Parallels shared folder'],
]);

export const linuxFileSystemType: FileSystemType = async (directory) => {
  const { type } = await statfs(directory);
  return type;
};

/** Throws `store_filesystem_unsafe` when `directory` lies where SQLite would lose data. */
export async function requireLocalFileSystem(directory: string, fileSystemType: FileSystemType): Promise<void> {
  // The number is signed where the C type is; the table is not.
  const kind = UNSAFE.get((await fileSystemType(directory)) >>> 0);
  if (kind === undefined) return;
  throw new PlatformError('store_filesystem_unsafe', { detail: `${directory} is on ${kind}, where SQLite loses data.` });
}
