import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';

export interface LogFileOptions {
  readonly file: string;
  /** A line that would make it larger goes into a new one; undefined for no bound. */
  readonly maxBytes?: number | undefined;
  /** How many full ones are kept as `.1` (the newest), `.2` and so on. */
  readonly keep?: number | undefined;
  /** Told once of a disk that does not take the log, and again after it did. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
}

/**
 * A log file of one process. Each line is written before `write` returns, so that the last words of a process that ends,
 * however it ends, are on disk.
 */
export interface LogFile {
  write(line: string): void;
  /** Goes on in the file of that name, after somebody else has moved the one it was. */
  reopen(): void;
  close(): void;
}

const openFiles = new Set<LogFile>();

/** What SIGHUP asks for. */
export function reopenLogFiles(): void {
  for (const file of openFiles) file.reopen();
}

export function openLogFile({ file, maxBytes = Number.POSITIVE_INFINITY, keep = 0, onFailure }: LogFileOptions): LogFile {
  let descriptor: number | undefined;
  let size = 0;
  let hasFailed = false;

  function open(): number {
    mkdirSync(path.dirname(file), { recursive: true });
    const opened = openSync(file, 'a', 0o640);
    ({ size } = fstatSync(opened));
    descriptor = opened;
    return opened;
  }

  function close(): void {
    if (descriptor !== undefined) closeSync(descriptor);
    descriptor = undefined;
  }

  function rotate(): void {
    close();
    if (keep === 0) rmSync(file, { force: true });
    for (let number = keep; number > 0; number--) move(number === 1 ? file : `${file}.${number - 1}`, `${file}.${number}`);
  }

  const log: LogFile = {
    write(line) {
      // A log that cannot be written must not stop what it tells of: the other ways it takes have the line.
      try {
        const bytes = Buffer.from(line);
        let into = descriptor ?? open();
        if (size > 0 && size + bytes.length > maxBytes) {
          rotate();
          into = open();
        }
        for (let at = 0; at < bytes.length; ) at += writeSync(into, bytes, at);
        size += bytes.length;
        hasFailed = false;
      } catch (error) {
        if (!hasFailed) onFailure?.(error);
        hasFailed = true;
      }
    },
    reopen: close,
    close() {
      openFiles.delete(log);
      close();
    },
  };
  openFiles.add(log);
  // A place that cannot be written is told at the start.
  open();
  return log;
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    // There are not as many yet.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}
