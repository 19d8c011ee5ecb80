import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';

/**
 * Runs a shell script with pipes for the usual three descriptors and these behind them, and resolves when it runs.
 * `attach` is called in the same turn of the event loop: Node empties the pipes of a child that has ended and that
 * nobody reads from yet, and tells its exit once.
 */
export type Spawn = <T>(
  script: string,
  words: readonly string[],
  fds: readonly (number | 'pipe')[],
  attach: (child: ChildProcess) => T,
) => Promise<T>;

export const HOST_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const CLOSED_ON_EXEC = 0o2000000;

/**
 * Nothing of ours goes along: no variable of our environment, which may hold keys, and no descriptor that whoever
 * started us left open, which a shell or bubblewrap would hand on to the program.
 */
export function createSpawn(): Spawn {
  const strays = inheritedDescriptors();
  return async (script, words, fds, attach) => {
    const nothing = await open('/dev/null', 'r');
    try {
      const stdio: (number | 'pipe' | 'ignore')[] = ['pipe', 'pipe', 'pipe', ...fds];
      for (const stray of strays) {
        while (stdio.length < stray) stdio.push('ignore');
        stdio[stray] ??= nothing.fd;
      }
      const child = spawn('sh', ['-c', script, 'cloister', ...words], {
        cwd: '/',
        env: { PATH: HOST_PATH },
        stdio,
        // A session of its own: neither our end nor a key in our terminal ends it.
        detached: true,
      });
      const spawned = once(child, 'spawn');
      const attached = attach(child);
      await spawned;
      return attached;
    } finally {
      await nothing.close();
    }
  };
}

/** Node closes what it opens itself on exec; what is left was open before it began. */
function inheritedDescriptors(): readonly number[] {
  if (process.platform !== 'linux') return [];
  const all = readdirSync('/proc/self/fd').map(Number);
  return all.filter((fd) => fd > 2 && isInherited(fd)).sort((a, b) => a - b);
}

function isInherited(fd: number): boolean {
  try {
    const [, flags] = /^flags:\s*([0-7]+)/m.exec(readFileSync(path.join('/proc/self/fdinfo', String(fd)), 'utf8')) ?? [];
    return flags !== undefined && (Number.parseInt(flags, 8) & CLOSED_ON_EXEC) === 0;
  } catch (error) {
    // The descriptor that listed the directory is closed by now.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}
