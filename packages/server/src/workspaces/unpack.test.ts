import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { isPlatformError } from '../base/errors.ts';
import { openRoot } from './held-directory.ts';
import { packDirectory } from './pack.ts';
import { formatHeader, paddingOf, type TarHeader } from './tar-format.ts';
import { type Unpacked, unpack } from './unpack.ts';

const LINUX = { skip: process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only' };
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

const END = Buffer.alloc(1024);
const entry = (name: string | Buffer, more: Partial<TarHeader> = {}, body = ''): Buffer => {
  const header = { path: Buffer.from(name), kind: 'file' as const, mode: 0o644, modifiedAt: 1_700_000_000, target: Buffer.alloc(0) };
  return Buffer.concat([formatHeader({ ...header, size: body.length, ...more }), Buffer.from(body), Buffer.alloc(paddingOf(body.length))]);
};
const link = (name: string, target: string) => entry(name, { kind: 'link', target: Buffer.from(target) });
const directory = (name: string) => entry(name, { kind: 'directory' });
/** The same header as another type, with its sum put right. */
const retyped = (block: Buffer, type: string): Buffer => {
  const copy = Buffer.from(block);
  copy.write(type, 156);
  copy.write('        ', 148);
  const sum = copy.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return copy;
};
const tar = (...parts: Buffer[]) => Buffer.concat([...parts, END]);

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('archives', LINUX, () => {
  let base: string;
  const at = (...parts: string[]) => path.join(base, ...parts);
  beforeEach(() => {
    base = mkdtempSync(path.join(os.tmpdir(), 'cloister-tar-'));
    mkdirSync(at('into'));
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));

  /** In chunks of odd sizes, as a network has them. */
  async function put(bytes: Buffer, more: { maxBytes?: number; maxEntries?: number; origin?: 'sent' | 'own' } = {}): Promise<Unpacked> {
    async function* source() {
      for (let from = 0; from < bytes.length; from += 777) yield bytes.subarray(from, from + 777);
    }
    await using into = await openRoot(at('into'));
    return await unpack(source(), into, { maxBytes: 1024 * 1024, maxEntries: 100, owner, origin: 'sent', ...more });
  }

  it('go out and in again the same, and the system’s tar reads and writes them too', async () => {
    mkdirSync(at('from', 'a', 'x'.repeat(150)), { recursive: true });
    writeFileSync(at('from', 'a', 'run.sh'), '#!/bin/sh\n');
    chmodSync(at('from', 'a', 'run.sh'), 0o755);
    writeFileSync(at('from', 'a', 'x'.repeat(150), 'ü'.repeat(60)), 'z'.repeat(300_000));
    symlinkSync('a/run.sh', at('from', 'go'));
    execFileSync('mkfifo', [at('from', 'pipe')]);
    const archive = await collect(packDirectory(at('from')));
    assert.deepEqual(await put(gzipSync(archive)), { files: 2, directories: 2, links: 1, bytes: 300_010 });
    assert.equal(readFileSync(at('into', 'a', 'x'.repeat(150), 'ü'.repeat(60)), 'utf8'), 'z'.repeat(300_000));
    assert.deepEqual([lstatSync(at('into', 'a', 'run.sh')).mode & 0o777, readlinkSync(at('into', 'go'))], [0o755, 'a/run.sh']);
    writeFileSync(at('ours.tar'), archive);
    mkdirSync(at('theirs'));
    execFileSync('tar', ['-xf', at('ours.tar'), '-C', at('theirs')]);
    assert.equal(readFileSync(at('theirs', 'a', 'x'.repeat(150), 'ü'.repeat(60)), 'utf8').length, 300_000);
    rmSync(at('from', 'pipe'));
    for (const format of ['gnu', 'pax']) {
      rmSync(at('into'), { recursive: true });
      mkdirSync(at('into'));
      const made = execFileSync('tar', [`--format=${format}`, '-cf', '-', '-C', at('from'), '.'], { maxBuffer: 1024 * 1024 });
      const { files, links } = await put(made);
      assert.deepEqual([files, links, readdirSync(at('into')).sort()], [2, 1, ['a', 'go']], format);
    }
  });

  const bad: Readonly<Record<string, readonly [Buffer, string]>> = {
    'a path upwards': [tar(entry('../out', {}, 'x')), 'archive_invalid'],
    'a path upwards within': [tar(entry('a/../../out', {}, 'x')), 'archive_invalid'],
    'an absolute path': [tar(entry('/etc/passwd', {}, 'x')), 'archive_invalid'],
    'a name that is no UTF-8': [tar(entry(Buffer.from([0x61, 0xff]), {}, 'x')), 'archive_invalid'],
    'a control character': [tar(entry('a\nb', {}, 'x')), 'archive_invalid'],
    'a path that is too deep': [tar(entry(`${'d/'.repeat(70)}f`, {}, 'x')), 'archive_invalid'],
    'a file twice': [tar(entry('a', {}, 'x'), entry('a', {}, 'y')), 'archive_invalid'],
    'a file as a directory': [tar(entry('a', {}, 'x'), entry('a/b', {}, 'y')), 'archive_invalid'],
    'a file through a link': [tar(link('a', 'b'), directory('b'), entry('a/f', {}, 'x')), 'archive_invalid'],
    'a link outwards': [tar(link('a', '../x')), 'archive_invalid'],
    'a link outwards from below': [tar(link('d/a', '../../x')), 'archive_invalid'],
    'a link that turns later': [tar(link('d/a', 'b/../../../x')), 'archive_invalid'],
    'an absolute link': [tar(link('a', '/etc/passwd')), 'archive_invalid'],
    'a hard link': [tar(retyped(entry('a', { target: Buffer.from('/etc/passwd') }), '1')), 'archive_invalid'],
    'a device': [tar(retyped(entry('a'), '3')), 'archive_invalid'],
    'a pipe': [tar(retyped(entry('a'), '6')), 'archive_invalid'],
    'a sparse file': [tar(retyped(entry('a'), 'S')), 'archive_invalid'],
    'a wrong sum': [Buffer.concat([Buffer.from(entry('a')).fill(0x31, 0, 1), END]), 'archive_invalid'],
    'no archive': [Buffer.from('hello'.repeat(300)), 'archive_invalid'],
    nothing: [Buffer.alloc(0), 'archive_invalid'],
    'an archive cut off': [entry('a', {}, 'x'.repeat(2000)).subarray(0, 1500), 'archive_invalid'],
    'a gzip cut off': [gzipSync(tar(entry('a', {}, 'x'.repeat(2000)))).subarray(0, 60), 'archive_invalid'],
    'a damaged gzip': [Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), 'archive_invalid'],
    'a header of a gigabyte': [tar(retyped(entry('a', { size: 1024 ** 3 }), 'x')), 'archive_invalid'],
    'a file that says it is too large': [tar(entry('a', { size: 5 * 1024 ** 3 })), 'archive_too_large'],
    'too many entries': [tar(...Array.from({ length: 101 }, (_, index) => directory(`d${index}`))), 'archive_too_large'],
    'too much': [gzipSync(tar(entry('a', {}, 'x'.repeat(600_000)), entry('b', {}, 'x'.repeat(600_000)))), 'archive_too_large'],
  };
  for (const [what, [bytes, code]] of Object.entries(bad))
    it(`are refused with ${what}`, async () => {
      await assert.rejects(put(bytes), (error) => isPlatformError(error) && error.code === code, what);
      assert.deepEqual(readdirSync(base), ['into']);
    });

  it('are refused as a bomb long before they are unpacked', async () => {
    const bomb = gzipSync(Buffer.alloc(80 * 1024 * 1024));
    const head = gzipSync(
      formatHeader({ path: Buffer.from('a'), kind: 'file', size: 79 * 1024 * 1024, mode: 0o644, modifiedAt: 0, target: Buffer.alloc(0) }),
    );
    await assert.rejects(put(Buffer.concat([head, bomb]), { maxBytes: 1024 ** 4 }), (error) => isPlatformError(error, 'archive_too_large'));
  });

  it('of our own bring back names that no request can have', async () => {
    const odd = Buffer.from([0x61, 0x0a, 0xff]);
    await put(tar(entry(odd, {}, 'x'), link('up', '../../x')), { origin: 'own' });
    assert.deepEqual(
      readdirSync(at('into'), { encoding: 'buffer' }).map((name) => name.toString('latin1')),
      [odd.toString('latin1'), 'up'],
    );
    await assert.rejects(put(tar(entry('../out', {}, 'x')), { origin: 'own' }), (error) => isPlatformError(error, 'archive_invalid'));
  });
});
