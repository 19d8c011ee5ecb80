import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { fileProblem } from './file-problem.ts';
import { createFile, createLink, type HeldDirectory, isCode, makeBelow, type Owner, openBelow } from './held-directory.ts';
import { type Name, parsePath } from './paths.ts';
import { archiveInvalid, type TarHeader } from './tar-format.ts';
import { readTar, type TarEntry } from './tar-read.ts';

export interface UnpackLimits {
  /** Of all that is unpacked, headers included. */
  readonly maxBytes: number;
  readonly maxEntries: number;
  /** Told of all that is about to take room; what it throws ends the unpacking. */
  readonly take?: ((bytes: number) => Promise<void>) | undefined;
}

export interface Unpacked {
  files: number;
  directories: number;
  links: number;
  bytes: number;
}

interface UnpackOptions extends UnpackLimits {
  readonly owner: Owner;
  /**
   * Whose archive it is: one that was sent in has only names that a request could have, and links that stay inside;
   * one that the platform made of a workspace has whatever was in the workspace.
   */
  readonly origin: 'sent' | 'own';
}

/** What an entry takes of the disk beside its bytes: its own block, or the rest of its last. */
const ENTRY_BYTES = 4096;
/** An archive of so many times its size is a bomb, once it is large at all. */
const MAX_RATIO = 200;
const RATIO_FROM_BYTES = 64 * 1024 * 1024;

/**
 * Unpacks a tar archive, gzipped or not, into an empty directory that nobody else can see. Throws `archive_invalid`
 * or `archive_too_large`; what was made until then is the caller's to remove.
 */
export async function unpack(source: AsyncIterable<Uint8Array>, into: HeldDirectory, options: UnpackOptions): Promise<Unpacked> {
  const done: Unpacked = { files: 0, directories: 0, links: 0, bytes: 0 };
  const parents = createParents(into, options.owner);
  try {
    for await (const entry of readTar(bounded(source, options))) {
      if (done.files + done.directories + done.links >= options.maxEntries)
        throw new PlatformError('archive_too_large', { detail: `The archive has more than ${options.maxEntries} entries.` });
      if (entry.size > options.maxBytes) throw tooLarge(options.maxBytes);
      await options.take?.(ENTRY_BYTES);
      await unpackOne(entry, { parents, options, done });
    }
    return done;
  } finally {
    await parents.close();
  }
}

interface Unpacking {
  readonly parents: Parents;
  readonly options: UnpackOptions;
  readonly done: Unpacked;
}

async function unpackOne(entry: TarEntry, { parents, options, done }: Unpacking): Promise<void> {
  const path = options.origin === 'sent' ? checkedPath(entry) : ownPath(entry);
  const last = path.at(-1);
  if (entry.kind === 'directory') {
    await inArchive(entry, () => parents.open(path));
    done.directories++;
    return;
  }
  if (last === undefined) throw archiveInvalid('has a file that is the workspace itself');
  const parent = await inArchive(entry, () => parents.open(path.slice(0, -1)));
  if (entry.kind === 'link') {
    if (options.origin === 'sent') checkLink(entry, path.length - 1);
    await inArchive(entry, () => createLink(parent, last, entry.target));
    done.links++;
    return;
  }
  await using file = await inArchive(entry, () => createFile(parent, last, { mode: (entry.mode & 0o777) | 0o600, owner: options.owner }));
  try {
    for await (const chunk of entry.body) await file.writeFile(chunk);
    await file.utimes(entry.modifiedAt, entry.modifiedAt);
  } catch (error) {
    throw fileProblem(error, last);
  }
  done.files++;
  done.bytes += entry.size;
}

/** In an empty directory that nobody else sees, all that is in the way came from the archive itself. */
async function inArchive<T>(entry: TarHeader, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (isPlatformError(error, 'file_conflict') || isPlatformError(error, 'file_not_found'))
      throw archiveInvalid(`has ${shown(entry.path)} twice, or goes through a link or file as if it were a directory`);
    throw error;
  }
}

function checkedPath(entry: TarHeader): readonly string[] {
  const text = entry.path.toString('utf8');
  if (!Buffer.from(text).equals(entry.path)) throw archiveInvalid('has a name that is not UTF-8');
  const parts = text.replace(/^(\.\/+)+/, '');
  try {
    return parsePath(parts);
  } catch (error) {
    if (isPlatformError(error, 'path_invalid')) throw archiveInvalid(`has ${shown(entry.path)}: ${error.detail}`.replace(/\.$/, ''));
    throw error;
  }
}

/** Whatever a file system can hold, but nothing that leads elsewhere. */
function ownPath(entry: TarHeader): readonly Name[] {
  const parts = entry.path
    .toString('latin1')
    .split('/')
    .filter((part) => part !== '');
  if (parts.some((part) => part === '.' || part === '..' || part.includes('\0'))) throw archiveInvalid('has a path that leads out of it');
  return parts.map((part) => Buffer.from(part, 'latin1'));
}

/**
 * A link may go up only at its beginning, and no further than to the top: since its directory is a real one, it stays
 * inside, and so does a link to a link.
 */
function checkLink(entry: TarHeader, depth: number): void {
  const parts = entry.target.toString('utf8').split('/');
  const ups = parts.findIndex((part) => part !== '..');
  const rest = ups < 0 ? [] : parts.slice(ups);
  const isInside = (ups < 0 ? parts.length : ups) <= depth && !rest.includes('..');
  if (entry.target.length === 0 || entry.target[0] === 0x2f || entry.target.includes(0) || !isInside)
    throw archiveInvalid(`has the link ${shown(entry.path)} that leads out of it`);
}

interface Parents {
  open(path: readonly Name[]): Promise<HeldDirectory>;
  close(): Promise<void>;
}

/** Keeps the last directory open: entries of one directory mostly follow each other. */
function createParents(into: HeldDirectory, owner: Owner): Parents {
  let last: { readonly key: string; readonly directory: HeldDirectory } | undefined;
  const close = async () => {
    await last?.directory.close();
    last = undefined;
  };
  return {
    async open(path) {
      const key = path.map((name) => Buffer.from(name).toString('latin1')).join('/');
      if (last?.key === key) return last.directory;
      await close();
      const directory = path.length === 0 ? await openBelow(into, []) : await makeBelow(into, path, owner);
      last = { key, directory };
      return directory;
    },
    close,
  };
}

/** The bytes of the tar archive itself, gunzipped where needed, and no more than so many. */
async function* bounded(source: AsyncIterable<Uint8Array>, { maxBytes, origin, take }: UnpackOptions): AsyncGenerator<Uint8Array> {
  const counted = { in: 0 };
  const { head, all } = await peek(count(source, counted));
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  let out = 0;
  for await (const chunk of isGzip ? gunzip(all) : all) {
    out += chunk.byteLength;
    if (out > maxBytes) throw tooLarge(maxBytes);
    await take?.(chunk.byteLength);
    if (origin === 'sent' && out > RATIO_FROM_BYTES && out > counted.in * MAX_RATIO)
      throw new PlatformError('archive_too_large', { detail: `The archive unpacks to more than ${MAX_RATIO} times its size.` });
    yield chunk;
  }
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const gunzipper = createGunzip({ chunkSize: 256 * 1024 });
  let failure: unknown;
  const input = Readable.from(source, { objectMode: false });
  pipeline(input, gunzipper, (error) => {
    failure ??= error ?? undefined;
  });
  try {
    for await (const chunk of gunzipper) yield chunk as Buffer;
  } catch (error) {
    const first = input.errored ?? failure ?? error;
    if (isCode(first, 'Z_DATA_ERROR', 'Z_BUF_ERROR', 'Z_NEED_DICT', 'Z_MEM_ERROR'))
      throw archiveInvalid('is damaged: it cannot be decompressed');
    throw first;
  }
}

async function* count(source: AsyncIterable<Uint8Array>, counted: { in: number }): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    counted.in += chunk.byteLength;
    yield chunk;
  }
}

async function peek(source: AsyncGenerator<Uint8Array>): Promise<{ readonly head: Buffer; readonly all: AsyncGenerator<Uint8Array> }> {
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await source.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const all = async function* () {
    yield head;
    yield* source;
  };
  return { head, all: all() };
}

function tooLarge(maxBytes: number): PlatformError {
  return new PlatformError('archive_too_large', { detail: `The archive unpacks to more than ${maxBytes} bytes.` });
}

function shown(path: Buffer): string {
  return JSON.stringify(path.toString().toWellFormed().slice(0, 80));
}
