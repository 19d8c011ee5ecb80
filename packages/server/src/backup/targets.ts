import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { PlatformError } from '../base/errors.ts';
import { newUnique } from '../base/ids.ts';
import { BLOCK, formatHeader, paddingOf } from '../workspaces/tar-format.ts';
import { diskProblem, syncDirectory } from './spool.ts';

/** Where the parts of a backup go, one after the other. Until `finish` nobody takes it for a backup. */
export interface Target {
  /** Where the next part is to be made: a file that is not there yet. */
  draft(name: string): Promise<string>;
  /** Takes the part that was made there. */
  add(name: string): Promise<void>;
  /** Throws away what was made there, if anything. */
  discard(name: string): Promise<void>;
  /** Answers where the backup is. */
  finish(): Promise<string>;
  /** Leaves nothing. */
  abort(): Promise<void>;
}

export interface TargetRequest {
  /** A directory, in which it becomes one of its own, `….tar`, `….tar.gz`, or `-` for standard output. */
  readonly to: string;
  /** The name of a backup in a directory. */
  readonly name: string;
  /** Where drafts may lie when it goes to standard output. */
  readonly drafts: string;
  readonly stdout: Writable;
}

export function openTarget(request: TargetRequest): Promise<Target> {
  if (request.to === '-')
    return openTar({ drafts: path.join(request.drafts, `.draft-${newUnique()}`), isGzip: true, stdout: request.stdout });
  return /\.(tar|tar\.gz|tgz)$/.test(request.to) ? openTarFile(path.resolve(request.to)) : openDirectory(request);
}

async function openDirectory({ to, name }: TargetRequest): Promise<Target> {
  const place = path.join(path.resolve(to), name);
  await refuseTaken(place);
  const partial = `${place}.partial`;
  await mkdir(partial, { recursive: true, mode: 0o700 });
  const fileOf = (part: string) => path.join(partial, part);
  return {
    async draft(part) {
      await mkdir(path.dirname(fileOf(part)), { recursive: true, mode: 0o700 });
      return fileOf(part);
    },
    add: async () => undefined,
    discard: (part) => rm(fileOf(part), { force: true }),
    async finish() {
      await syncDirectory(partial);
      await rename(partial, place);
      await syncDirectory(path.dirname(place));
      return place;
    },
    abort: () => rm(partial, { recursive: true, force: true }),
  };
}

async function openTarFile(file: string): Promise<Target> {
  await refuseTaken(file);
  await mkdir(path.dirname(file), { recursive: true });
  const partial = `${file}.partial`;
  await rm(partial, { force: true });
  const tar = await openTar({ drafts: `${file}.drafts`, isGzip: !file.endsWith('.tar'), file: partial });
  return {
    ...tar,
    async finish() {
      await tar.finish();
      await rename(partial, file);
      await syncDirectory(path.dirname(file));
      return file;
    },
    async abort() {
      await tar.abort();
      await rm(partial, { force: true });
    },
  };
}

interface TarOptions {
  readonly drafts: string;
  readonly isGzip: boolean;
  readonly file?: string;
  readonly stdout?: Writable;
}

/** Parts are drafted first, since a tar says how long a part is before it begins. */
async function openTar({ drafts, isGzip, file, stdout }: TarOptions): Promise<Target> {
  await mkdir(drafts, { recursive: true, mode: 0o700 });
  const packer = isGzip ? createGzip() : new PassThrough();
  const sink = stdout ?? createWriteStream(file ?? '', { flags: 'wx', mode: 0o600, flush: true });
  const done = pipeline(packer, sink, { end: stdout === undefined });
  // Seen by whoever writes next, or by `finish`.
  const failed = done.then(
    () => new Promise<never>(() => undefined),
    (error: unknown) => Promise.reject(diskProblem(error)),
  );
  failed.catch(() => undefined);
  const write = async (chunk: Buffer): Promise<void> => {
    if (packer.write(chunk)) return;
    await Promise.race([new Promise<void>((resolve) => packer.once('drain', resolve)), failed]);
  };
  const fileOf = (part: string) => path.join(drafts, encodeURIComponent(part));
  return {
    draft: async (part) => fileOf(part),
    async add(part) {
      const { size, mtimeMs } = await stat(fileOf(part));
      const header = {
        path: Buffer.from(part),
        kind: 'file',
        size,
        mode: 0o600,
        modifiedAt: mtimeMs / 1000,
        target: Buffer.alloc(0),
      } as const;
      await write(formatHeader(header));
      for await (const chunk of createReadStream(fileOf(part), { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) await write(chunk);
      await write(Buffer.alloc(paddingOf(size)));
      await rm(fileOf(part));
    },
    discard: (part) => rm(fileOf(part), { force: true }),
    async finish() {
      await write(Buffer.alloc(2 * BLOCK));
      packer.end();
      await Promise.race([done, failed]);
      await rm(drafts, { recursive: true, force: true });
      return '-';
    },
    async abort() {
      packer.destroy();
      if (stdout === undefined) sink.destroy();
      await done.catch(() => undefined);
      await rm(drafts, { recursive: true, force: true });
    },
  };
}

async function refuseTaken(place: string): Promise<void> {
  const isTaken = await stat(place).then(
    () => true,
    () => false,
  );
  if (isTaken) throw new PlatformError('backup_exists', { detail: `${place} is there already.` });
}
