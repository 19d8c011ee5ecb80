import { watch } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { delay, systemClock } from '../base/clock.ts';

const CHUNK_BYTES = 64 * 1024;
/** Besides the notices of the file system, which not every one gives. */
const POLL_MS = 500;

/** The log file and those that were put aside before it, the oldest first. */
async function filesOf(file: string): Promise<string[]> {
  const directory = path.dirname(file);
  const prefix = `${path.basename(file)}.`;
  const numbers = (await readdir(directory)).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  const aside = numbers.filter((number) => /^[1-9]\d*$/.test(number)).map(Number);
  return [...aside.sort((a, b) => b - a).map((number) => `${file}.${number}`), file];
}

/** A file that is read to where it ends now, and on from there later. */
class GrowingFile {
  private readonly handle: FileHandle;
  readonly inode: number;
  private position = 0;
  private rest = Buffer.alloc(0);

  constructor(handle: FileHandle, inode: number) {
    this.handle = handle;
    this.inode = inode;
  }

  async *lines(): AsyncGenerator<string> {
    // One that was emptied in place begins anew.
    if ((await this.handle.stat()).size < this.position) {
      this.position = 0;
      this.rest = Buffer.alloc(0);
    }
    for (;;) {
      const { bytesRead, buffer } = await this.handle.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, this.position);
      if (bytesRead === 0) return;
      this.position += bytesRead;
      this.rest = Buffer.concat([this.rest, buffer.subarray(0, bytesRead)]);
      for (let end = this.rest.indexOf(10); end !== -1; end = this.rest.indexOf(10)) {
        yield this.rest.subarray(0, end).toString('utf8');
        this.rest = this.rest.subarray(end + 1);
      }
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

async function openGrowing(file: string): Promise<GrowingFile> {
  const handle = await open(file, 'r');
  return new GrowingFile(handle, (await handle.stat()).ino);
}

async function inodeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).ino;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The files that came after the one of that inode; all there are when it is no longer kept. */
async function filesAfter(file: string, inode: number): Promise<string[]> {
  const files = await filesOf(file);
  const inodes = await Promise.all(files.map(inodeOf));
  return files.slice(inodes.indexOf(inode) + 1);
}

/** Every line that is there, those of the files put aside first. Throws when there is no log file. */
export async function* readLines(file: string): AsyncGenerator<string> {
  const last = yield* readFiles(await filesOf(file));
  await last.close();
}

async function* readFiles(files: readonly string[]): AsyncGenerator<string, GrowingFile> {
  let current: GrowingFile | undefined;
  for (const one of files) {
    await current?.close();
    current = await openGrowing(one);
    yield* current.lines();
  }
  if (current === undefined) throw new Error('There is no file to read.');
  return current;
}

/** The same, then each line as it is written, through rotations, until the signal is aborted. `onCaughtUp`: the past is over. */
export async function* followLines(
  file: string,
  { signal, onCaughtUp }: { signal: AbortSignal; onCaughtUp: () => void },
): AsyncGenerator<string> {
  let current = yield* readFiles(await filesOf(file));
  onCaughtUp();
  let wake: () => void = () => undefined;
  const watcher = watch(path.dirname(file), () => wake());
  // Without its notices the log is polled.
  watcher.on('error', () => watcher.close());
  try {
    while (!signal.aborted) {
      yield* current.lines();
      const inode = await inodeOf(file);
      if (inode !== undefined && inode !== current.inode) {
        // What came last before it was put aside.
        yield* current.lines();
        const old = current;
        current = yield* readFiles(await filesAfter(file, old.inode));
        await old.close();
        continue;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      await Promise.race([promise, delay(systemClock, POLL_MS, signal).catch(() => undefined)]);
    }
  } finally {
    watcher.close();
    await current.close();
  }
}
