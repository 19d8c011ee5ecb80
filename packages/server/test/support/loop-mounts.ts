import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Why no disks can be made on this machine, or false. */
export const skipWithoutLoopMounts: string | false = (() => {
  if (process.platform !== 'linux') return 'disks are made on Linux only';
  if (process.getuid?.() !== 0) return 'mounting needs root';
  if (!existsSync('/dev/loop-control')) return 'there are no loop devices';
  try {
    for (const program of ['mkfs.ext4', 'mount', 'umount', 'flock', 'losetup'])
      execFileSync('/bin/sh', ['-c', `PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v ${program}`], { stdio: 'ignore' });
    execFileSync('/bin/sh', ['-c', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin losetup -f'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'mkfs.ext4, mount, flock or a free loop device is missing';
  }
})();
