import { readdir, readFile, stat, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { hasCode, missingIsFine } from './files.ts';
import { type ExitRecord, type Owner, parseExit } from './records.ts';

/** How sandboxes ended, each in a file of its own that outlives the sandbox for a while: for those who watch. */
export interface Exits {
  readonly directory: string;
  names(): Promise<readonly string[]>;
  read(handle: string): Promise<ExitRecord | undefined>;
  /** Writes how it ended, unless that is known. */
  settle(handle: string, owner: Owner, code: number): Promise<void>;
  forget(handle: string): Promise<unknown>;
  /** Removes what is old; whoever looks later asks for the sandbox itself. */
  prune(): Promise<void>;
}

const KEPT_MS = 600_000;

export function createExits(directory: string, clock: Clock): Exits {
  const fileOf = (handle: string): string => path.join(directory, handle);
  return {
    directory,
    // The supervisor writes under another name first.
    names: async () => (await readdir(directory)).filter((name) => !name.endsWith('.new')),
    async read(handle) {
      const text = await missingIsFine(readFile(fileOf(handle), 'utf8'));
      return text === undefined ? undefined : parseExit(text);
    },
    async settle(handle, owner, code) {
      try {
        // With `wx` the supervisor's own word, which may come at the same time, is not overwritten.
        await writeFile(fileOf(handle), `${JSON.stringify(owner)}\n${code} 0\n`, { flag: 'wx', mode: 0o600 });
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error;
      }
    },
    forget: (handle) => missingIsFine(unlink(fileOf(handle))),
    async prune() {
      for (const name of await readdir(directory)) {
        const seen = await missingIsFine(stat(fileOf(name)));
        if (seen !== undefined && seen.mtimeMs < clock.now() - KEPT_MS) await missingIsFine(unlink(fileOf(name)));
      }
    },
  };
}
