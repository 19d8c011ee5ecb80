import { appendFile, readFile, rename } from 'node:fs/promises';
import type { Logger } from '../../base/log.ts';
import { missingIsFine } from './files.ts';

/** stdout carries the protocol, so little of it is kept: enough for the last words of a sandbox that failed. */
const MAX_FILE_BYTES = 512 * 1024;
const DEFAULT_TAIL = 100;

export interface LogFile {
  /** Resolves when it is written; never rejects. */
  add(chunk: Buffer): Promise<void>;
}

/** Two files of which the older one goes when the newer one is full. Both outputs write here, one chunk at a time. */
export function createLogFile(file: string, log: Logger): LogFile {
  let last = Promise.resolve();
  let bytes = 0;
  const write = async (chunk: Buffer): Promise<void> => {
    try {
      // The directory is gone as soon as the sandbox is removed.
      await missingIsFine(appendFile(file, chunk, { mode: 0o600 }));
      bytes += chunk.length;
      if (bytes < MAX_FILE_BYTES) return;
      bytes = 0;
      await missingIsFine(rename(file, olderOf(file)));
    } catch (error) {
      log.warn({ err: error }, "a sandbox's output could not be kept");
    }
  };
  return {
    add(chunk) {
      last = last.then(() => write(chunk));
      return last;
    },
  };
}

export async function readLogFile(file: string, tailLines = DEFAULT_TAIL): Promise<string> {
  const parts = await Promise.all([olderOf(file), file].map((name) => missingIsFine(readFile(name, 'utf8'))));
  return parts
    .join('')
    .split(/(?<=\n)/)
    .slice(-tailLines)
    .join('');
}

function olderOf(file: string): string {
  return `${file}.1`;
}
