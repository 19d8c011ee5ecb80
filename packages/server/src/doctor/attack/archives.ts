import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { createGzip, gzipSync } from 'node:zlib';
import { isPlatformError } from '../../base/errors.ts';
import { sandboxUser } from '../../sandboxes/directories.ts';
import { openRoot } from '../../workspaces/held-directory.ts';
import { formatHeader, paddingOf, type TarHeader } from '../../workspaces/tar-format.ts';
import { unpack } from '../../workspaces/unpack.ts';
import type { Outcome } from './kit.ts';

export interface ArchiveAttack {
  /** Empty, of the attack's own. */
  readonly place: string;
  /** The file outside that nothing may touch; alone in its folder. */
  readonly canary: { readonly file: string; readonly text: string };
}

const MIB = 1024 ** 2;
const LIMITS = { maxBytes: 1024 * MIB, maxEntries: 1000 };
const END = Buffer.alloc(1024);

function entry(name: string, more: Partial<TarHeader> = {}, body = 'x'): Buffer {
  const header = { path: Buffer.from(name), kind: 'file' as const, mode: 0o6777, modifiedAt: 0, target: Buffer.alloc(0) };
  const bytes = more.kind === undefined ? Buffer.from(body) : Buffer.alloc(0);
  return Buffer.concat([formatHeader({ ...header, size: bytes.length, ...more }), bytes, Buffer.alloc(paddingOf(bytes.length))]);
}

const link = (name: string, target: string) => entry(name, { kind: 'link', target: Buffer.from(target) });

/** The same header as another type of entry, with its sum put right. */
function retyped(block: Buffer, type: string): Buffer {
  const copy = Buffer.from(block);
  copy.write(type, 156);
  copy.write('        ', 148);
  const sum = copy.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return copy;
}

/** Archives as a hostile client would send them to be unpacked into a workspace. */
export async function attackArchives({ place, canary }: ArchiveAttack, add: (outcome: Outcome) => void): Promise<void> {
  const folder = path.dirname(canary.file);
  const up = '../'.repeat(20);
  const hardLink = { target: Buffer.from(canary.file) };
  const tricks: readonly (readonly [id: string, what: string, archives: readonly (readonly Buffer[])[]])[] = [
    [
      'archive-paths',
      'archives with paths that lead out',
      [[entry('../out')], [entry(`${up}${canary.file}`)], [entry(canary.file)], [entry('a/../../out')], [entry(`${'d/'.repeat(200)}f`)]],
    ],
    [
      'archive-links',
      'archives with links out, hard links, and files through links',
      [
        [link('to', folder), entry('to/canary')],
        [link('to', `${up}${folder}`), entry('to/canary')],
        [link('d/to', '../../outside'), entry('d/to/canary')],
        [retyped(entry('hard', hardLink), '1'), entry('hard')],
        [link('a', 'b'), entry('b', { kind: 'directory' }), entry('a/f')],
      ],
    ],
    [
      'archive-devices',
      'archives with devices, pipes and entries of no known kind',
      ['3', '4', '6', 'V'].map((type) => [retyped(entry('odd'), type)]),
    ],
    [
      'archive-size',
      'archives of more entries and bytes than may be',
      [
        Array.from({ length: LIMITS.maxEntries + 1 }, (_, index) => entry(`d${index}`, { kind: 'directory' })),
        [entry('large', { size: LIMITS.maxBytes + 1 })],
      ],
    ],
  ];
  let count = 0;
  const send = (bytes: AsyncIterable<Uint8Array>) => take(path.join(place, `into-${count++}`), bytes);
  for (const [id, what, archives] of tricks) {
    const seen = [];
    for (const parts of archives) {
      const archive = Buffer.concat([...parts, END]);
      // As it is and gzipped, since both are taken.
      for (const bytes of [archive, gzipSync(archive)]) seen.push(await send(once(bytes)));
    }
    tell(add, { id, what, seen });
  }
  tell(add, { id: 'archive-bomb', what: 'a small archive of many zeros', seen: [await send(zeros(128 * MIB))] });
  const isWhole = (await readFile(canary.file, 'utf8')) === canary.text && (await readdir(folder)).length === 1;
  const how = isWhole ? 'nothing outside was touched' : 'a file outside was changed or made';
  add({ id: 'archive-traces', what: 'what the archives left outside', isRefused: isWhole, how });
}

/** How it was refused, or `unpacked`. */
async function take(into: string, source: AsyncIterable<Uint8Array>): Promise<string> {
  await mkdir(into);
  await using directory = await openRoot(into);
  try {
    await unpack(source, directory, { ...LIMITS, owner: sandboxUser(), origin: 'sent' });
    return 'unpacked';
  } catch (error) {
    if (isPlatformError(error, 'archive_invalid') || isPlatformError(error, 'archive_too_large')) return error.code;
    throw error;
  }
}

function tell(add: (outcome: Outcome) => void, { id, what, seen }: { id: string; what: string; seen: readonly string[] }): void {
  const got = seen.filter((how) => how === 'unpacked').length;
  add({ id, what, isRefused: got === 0, how: got === 0 ? [...new Set(seen)].join(', ') : `${got} of ${seen.length} unpacked` });
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** So many zeros in one file, gzipped as they are asked for. */
async function* zeros(bytes: number): AsyncGenerator<Uint8Array> {
  const gzip = createGzip({ level: 1 });
  const block = Buffer.alloc(MIB);
  gzip.write(entry('zeros', { size: bytes }).subarray(0, 512));
  let left = bytes / MIB;
  const feed = () => {
    for (; left > 0; left--)
      if (!gzip.write(block)) {
        left--;
        gzip.once('drain', feed);
        return;
      }
    gzip.end(END);
  };
  feed();
  for await (const chunk of gzip) yield chunk as Buffer; // a gzip stream gives buffers
}
