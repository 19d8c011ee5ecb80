import {
  archiveInvalid,
  BLOCK,
  MAX_EXTENSION_BYTES,
  paddingOf,
  parseHeader,
  parsePax,
  type RawHeader,
  type TarHeader,
  type TarKind,
} from './tar-format.ts';

export interface TarEntry extends TarHeader {
  /** The file's bytes, to be read before the next entry is asked for; what is left is skipped. */
  readonly body: AsyncIterable<Buffer>;
}

const KINDS: Readonly<Record<string, TarKind>> = { '0': 'file', '\0': 'file', '7': 'file', '5': 'directory', '2': 'link' };

/** What the headers before an entry say of it, since its own has no room. */
interface Long {
  path?: Buffer;
  target?: Buffer;
  size?: number;
}

/** The entries of a tar archive in their order. Throws `archive_invalid` for what is damaged, cut off or of another kind than file, directory and link. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const bytes = createByteReader(source);
  let long: Long = {};
  try {
    for (;;) {
      const block = await bytes.take(BLOCK);
      if (block === undefined) throw archiveInvalid('is cut off: its end is missing');
      const header = parseHeader(block);
      if (header === undefined) break;
      if (await readExtension(bytes, header, long)) continue;
      const entry = toHeader(header, long);
      let left = entry.size;
      yield {
        ...entry,
        body: (async function* () {
          while (left > 0) {
            const chunk = await bytes.some(left);
            left -= chunk.length;
            yield chunk;
          }
        })(),
      };
      while (left > 0) left -= (await bytes.some(left)).length;
      await skip(bytes, paddingOf(entry.size));
      long = {};
    }
    // What follows the end says nothing; it is read, since whoever sends it may count on that.
    while ((await bytes.take(BLOCK)) !== undefined);
  } finally {
    await bytes.close();
  }
}

async function readExtension(bytes: ByteReader, header: RawHeader, long: Long): Promise<boolean> {
  if (!['x', 'g', 'L', 'K'].includes(header.type)) return false;
  if (header.size > MAX_EXTENSION_BYTES) throw archiveInvalid('has a header that is too large');
  const body = header.size === 0 ? Buffer.alloc(0) : await bytes.take(header.size);
  if (body === undefined) throw archiveInvalid('is cut off within a header');
  await skip(bytes, paddingOf(header.size));
  if (header.type === 'L') long.path = untilNul(body);
  if (header.type === 'K') long.target = untilNul(body);
  if (header.type !== 'x') return true;
  const fields = parsePax(body);
  if ([...fields.keys()].some((name) => name.startsWith('GNU.sparse'))) throw archiveInvalid('has a sparse file, which is not taken');
  const [path, target, size] = [fields.get('path'), fields.get('linkpath'), fields.get('size')];
  if (path !== undefined) long.path = path;
  if (target !== undefined) long.target = target;
  if (size !== undefined) long.size = parseSize(size);
  return true;
}

function toHeader(header: RawHeader, long: Long): TarHeader {
  const kind = KINDS[header.type];
  const path = long.path ?? header.name;
  if (kind === undefined) {
    const what = header.type === '1' ? 'a hard link' : 'a device, pipe or something else that is no file';
    throw archiveInvalid(`has ${what}: ${JSON.stringify(path.toString().slice(0, 80))}; only files, directories and links are taken`);
  }
  const size = kind === 'file' ? (long.size ?? header.size) : 0;
  if (!Number.isSafeInteger(size)) throw archiveInvalid('has a size that is too large');
  // An old form of a directory.
  const isDirectory = kind === 'file' && path.at(-1) === 0x2f;
  return { ...header, path, kind: isDirectory ? 'directory' : kind, size: isDirectory ? 0 : size, target: long.target ?? header.linkName };
}

function parseSize(bytes: Buffer): number {
  const text = bytes.toString('latin1');
  if (!/^\d{1,16}$/.test(text)) throw archiveInvalid('has a size of the wrong form');
  return Number(text);
}

function untilNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end));
}

async function skip(bytes: ByteReader, count: number): Promise<void> {
  if (count > 0 && (await bytes.take(count)) === undefined) throw archiveInvalid('is cut off within an entry');
}

interface ByteReader {
  /** Exactly so many; undefined at the end. */
  take(count: number): Promise<Buffer | undefined>;
  /** At least one and at most so many. Throws at the end. */
  some(most: number): Promise<Buffer>;
  close(): Promise<void>;
}

function createByteReader(source: AsyncIterable<Uint8Array>): ByteReader {
  const iterator = source[Symbol.asyncIterator]();
  let held = Buffer.alloc(0);
  const fill = async (): Promise<boolean> => {
    const next = await iterator.next();
    if (next.done === true) return false;
    held = held.length === 0 ? Buffer.from(next.value) : Buffer.concat([held, next.value]);
    return true;
  };
  const cut = (count: number): Buffer => {
    const part = held.subarray(0, count);
    held = held.subarray(count);
    return part;
  };
  return {
    async take(count) {
      while (held.length < count) if (!(await fill())) return undefined;
      return cut(count);
    },
    async some(most) {
      while (held.length === 0) if (!(await fill())) throw archiveInvalid('is cut off within a file');
      return cut(Math.min(most, held.length));
    },
    close: async () => void (await iterator.return?.()),
  };
}
