/**
 * The part of the tar format that archives of workspaces need, read strictly: POSIX ustar headers, the pax fields
 * path, linkpath and size, and the long names of GNU tar. Names stay bytes until somebody checks them.
 */
import { PlatformError } from '../base/errors.ts';

export const BLOCK = 512;
/** What a header may take in memory, long names and pax fields included. */
export const MAX_EXTENSION_BYTES = 64 * 1024;

const MAX_UID = 0o7777777;

export type TarKind = 'file' | 'directory' | 'link';

export interface TarHeader {
  readonly path: Buffer;
  readonly kind: TarKind;
  readonly size: number;
  readonly mode: number;
  readonly modifiedAt: number;
  /** Of a link. */
  readonly target: Buffer;
  /** Whose it is, as a number; 0 unless told. Only backups say and heed it. */
  readonly uid?: number;
}

export interface RawHeader {
  readonly name: Buffer;
  readonly type: string;
  readonly size: number;
  readonly mode: number;
  readonly modifiedAt: number;
  readonly linkName: Buffer;
  readonly uid: number;
}

export function archiveInvalid(why: string): PlatformError {
  return new PlatformError('archive_invalid', { detail: `The archive ${why}.` });
}

/** One header block. Undefined for a block of zeros, which ends an archive. */
export function parseHeader(block: Buffer): RawHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  if (octal(block, 148, 8) !== checksum(block)) throw archiveInvalid('is no tar archive, or is damaged: a header does not add up');
  const isUstar = block.toString('latin1', 257, 262) === 'ustar';
  // GNU tar has times there instead.
  const hasPrefix = isUstar && block.toString('latin1', 262, 265) === '\x0000';
  const prefix = hasPrefix ? field(block, 345, 155) : Buffer.alloc(0);
  const name = field(block, 0, 100);
  return {
    name: prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]),
    type: String.fromCharCode(block[156] ?? 0),
    size: number(block, 124, 12),
    mode: number(block, 100, 8),
    modifiedAt: number(block, 136, 12),
    linkName: field(block, 157, 100),
    uid: number(block, 108, 8),
  };
}

/** The fields of a pax header; each is `<length> <name>=<value>\n`. */
export function parsePax(bytes: Buffer): ReadonlyMap<string, Buffer> {
  const fields = new Map<string, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString('latin1', at, Math.max(at, space)));
    const end = at + length;
    if (space < 0 || !Number.isInteger(length) || length < 5 || end > bytes.length || bytes[end - 1] !== 0x0a)
      throw archiveInvalid('has a pax header of the wrong form');
    const equals = bytes.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw archiveInvalid('has a pax header of the wrong form');
    fields.set(bytes.toString('latin1', space + 1, equals), bytes.subarray(equals + 1, end - 1));
    at = end;
  }
  return fields;
}

/** The blocks that announce an entry. */
export function formatHeader(header: TarHeader): Buffer {
  const path = header.kind === 'directory' ? Buffer.concat([header.path, Buffer.from('/')]) : header.path;
  const isLong = path.length > 100 || header.target.length > 100 || header.size > 0o77777777777;
  if (!isLong) return block(path, { ...header, type: TYPES[header.kind] });
  const fields = [paxField('path', path)];
  if (header.target.length > 0) fields.push(paxField('linkpath', header.target));
  if (header.size > 0o77777777777) fields.push(paxField('size', Buffer.from(String(header.size))));
  const pax = Buffer.concat(fields);
  return Buffer.concat([
    block(Buffer.from('././@PaxHeader'), { size: pax.length, mode: 0o644, modifiedAt: 0, target: Buffer.alloc(0), type: 'x' }),
    pax,
    Buffer.alloc(paddingOf(pax.length)),
    block(path.subarray(0, 100), {
      ...header,
      size: Math.min(header.size, 0o77777777777),
      target: header.target.subarray(0, 100),
      type: TYPES[header.kind],
    }),
  ]);
}

/** Zeros that follow `size` bytes up to the next block. */
export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

const TYPES: Readonly<Record<TarKind, string>> = { file: '0', directory: '5', link: '2' };

function block(name: Buffer, input: Omit<TarHeader, 'path' | 'kind'> & { readonly type: string }): Buffer {
  const bytes = Buffer.alloc(BLOCK);
  const put = (text: string | Buffer, at: number) => Buffer.from(text).copy(bytes, at);
  const digits = (value: number, length: number) => `${value.toString(8).padStart(length - 1, '0')}\0`;
  put(name, 0);
  put(digits(input.mode & 0o777, 8), 100);
  const uid = digits(Math.min(input.uid ?? 0, MAX_UID), 8);
  put(uid, 108);
  put(uid, 116);
  put(digits(input.size, 12), 124);
  put(digits(Math.max(0, Math.floor(input.modifiedAt)), 12), 136);
  put(input.type, 156);
  put(input.target, 157);
  put('ustar\x0000', 257);
  put(`${checksum(bytes).toString(8).padStart(6, '0')}\0 `, 148);
  return bytes;
}

function paxField(name: string, value: Buffer): Buffer {
  const rest = name.length + value.length + 3;
  // The length counts its own digits.
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${name}=`), value, Buffer.from('\n')]);
}

function checksum(bytes: Buffer): number {
  return bytes.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0);
}

function field(bytes: Buffer, at: number, length: number): Buffer {
  const part = bytes.subarray(at, at + length);
  const end = part.indexOf(0);
  return Buffer.from(end < 0 ? part : part.subarray(0, end));
}

function octal(bytes: Buffer, at: number, length: number): number {
  const text = bytes
    .toString('latin1', at, at + length)
    .replaceAll('\0', ' ')
    .trim();
  if (text === '') return 0;
  if (!/^[0-7]+$/.test(text)) throw archiveInvalid('is no tar archive, or has a number of the wrong form');
  return Number.parseInt(text, 8);
}

/** Octal, or binary with the first bit set, as GNU tar writes large numbers. */
function number(bytes: Buffer, at: number, length: number): number {
  if (((bytes[at] ?? 0) & 0x80) === 0) return octal(bytes, at, length);
  const value = bytes.subarray(at, at + length).reduce((sum, byte, index) => sum * 256 + (index === 0 ? byte & 0x7f : byte), 0);
  if (!Number.isSafeInteger(value)) throw archiveInvalid('has a number that is too large');
  return value;
}
