import { inflateRawSync } from 'node:zlib';
import { PlatformError } from '../base/errors.ts';

export interface ZipEntry {
  readonly path: string;
  readonly isDirectory: boolean;
  readonly mode: number;
  readonly bytes: () => Buffer;
}

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX_COMMENT = 65_535;
const LINK = 0o120000;

/**
 * The entries of a zip archive that is in memory. Strict: no encryption, no zip64, no links, only stored and deflated
 * files, and none larger than it says. Throws `archive_invalid`.
 */
export function readZip(zip: Buffer, maxEntries: number): readonly ZipEntry[] {
  const end = findEnd(zip);
  const count = uint16(zip, end + 10);
  if (count > maxEntries) throw invalid(`has more than ${maxEntries} entries`);
  const entries: ZipEntry[] = [];
  for (let at = uint32(zip, end + 16), index = 0; index < count; index++) {
    if (uint32(zip, at) !== ENTRY) throw invalid('has a directory of the wrong form');
    const [nameLength, extraLength, commentLength] = [uint16(zip, at + 28), uint16(zip, at + 30), uint16(zip, at + 32)];
    entries.push(readEntry(zip, at, slice(zip, at + 46, nameLength)));
    at += 46 + nameLength + extraLength + commentLength;
  }
  return entries;
}

function readEntry(zip: Buffer, at: number, name: Buffer): ZipEntry {
  const path = name.toString('utf8');
  if (!Buffer.from(path).equals(name)) throw invalid('has a name that is not UTF-8');
  const [flags, method, packed, size] = [uint16(zip, at + 8), uint16(zip, at + 10), uint32(zip, at + 20), uint32(zip, at + 24)];
  const mode = uint32(zip, at + 38) >>> 16;
  if ((flags & 1) !== 0) throw invalid('is encrypted');
  if (packed === 0xffffffff || size === 0xffffffff) throw invalid('is of the form zip64');
  if ((mode & 0o170000) === LINK) throw invalid('has a link');
  if (method !== 0 && method !== 8) throw invalid('is compressed in a way that is not taken');
  const local = uint32(zip, at + 42);
  const bytes = () => {
    if (uint32(zip, local) !== LOCAL) throw invalid('has an entry of the wrong form');
    const data = slice(zip, local + 30 + uint16(zip, local + 26) + uint16(zip, local + 28), packed);
    const inflated = method === 0 ? data : inflate(data, size);
    if (inflated.length !== size) throw invalid('has a file of another size than it says');
    return inflated;
  };
  return { path, isDirectory: path.endsWith('/'), mode, bytes };
}

function inflate(data: Buffer, size: number): Buffer {
  try {
    return inflateRawSync(data, { maxOutputLength: Math.max(1, size) });
  } catch {
    throw invalid('is damaged: it cannot be decompressed');
  }
}

function findEnd(zip: Buffer): number {
  for (let at = zip.length - 22; at >= Math.max(0, zip.length - 22 - MAX_COMMENT); at--) if (zip.readUInt32LE(at) === END) return at;
  throw invalid('is no zip archive');
}

function slice(zip: Buffer, at: number, length: number): Buffer {
  if (at < 0 || at + length > zip.length) throw invalid('is cut off');
  return zip.subarray(at, at + length);
}

function uint16(zip: Buffer, at: number): number {
  return slice(zip, at, 2).readUInt16LE();
}

function uint32(zip: Buffer, at: number): number {
  return slice(zip, at, 4).readUInt32LE();
}

function invalid(why: string): PlatformError {
  return new PlatformError('archive_invalid', { detail: `The archive ${why}.` });
}
