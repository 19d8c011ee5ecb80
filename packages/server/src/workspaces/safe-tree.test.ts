import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isPlatformError } from '../base/errors.ts';
import { parsePath } from './paths.ts';
import { readBytes } from './read-bytes.ts';
import { createSafeTree, type SafeTree } from './safe-tree.ts';

const LINUX = { skip: process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only' };
const MAX = { maxBytes: 1024 };

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return chunks;
}

describe('a safe tree', LINUX, () => {
  let base: string;
  let tree: SafeTree;
  const at = (...parts: string[]) => path.join(base, 'workspace', ...parts);
  const read = async (name: string): Promise<string> => {
    await using file = await tree.openFile(parsePath(name));
    const chunks: Uint8Array[] = await collect(readBytes(file.handle, { start: 0, length: file.stats.size }));
    return Buffer.concat(chunks).toString();
  };
  const refusal = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
    } catch (error) {
      if (isPlatformError(error)) return error.code;
      throw error;
    }
    return 'done';
  };

  beforeEach(() => {
    base = mkdtempSync(path.join(os.tmpdir(), 'cloister-tree-'));
    mkdirSync(at(), { recursive: true });
    mkdirSync(path.join(base, 'outside'));
    writeFileSync(path.join(base, 'outside', 'secret'), 'CANARY');
    const owner = {
      uid: process.getuid?.() === 0 ? 1000 : (process.getuid?.() ?? 0),
      gid: process.getuid?.() === 0 ? 1000 : (process.getgid?.() ?? 0),
    };
    tree = createSafeTree({ root: at(), staging: path.join(base, 'staging'), owner });
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));

  it('writes, reads, lists, moves and removes', async () => {
    const made = await tree.write(parsePath('a/b/c.txt'), bytes('hello'), MAX);
    assert.deepEqual([made.path, made.kind, made.size], ['a/b/c.txt', 'file', 5]);
    assert.equal(await read('a/b/c.txt'), 'hello');
    if (process.getuid?.() === 0) assert.deepEqual([statSync(at('a')).uid, statSync(at('a/b/c.txt')).uid], [1000, 1000]);
    chmodSync(at('a/b/c.txt'), 0o755);
    await tree.write(parsePath('a/b/c.txt'), bytes('again'), MAX);
    assert.equal(statSync(at('a/b/c.txt')).mode & 0o777, 0o755);
    assert.equal(await refusal(tree.write(parsePath('a/b/c.txt'), bytes('x'), { ...MAX, isNew: true })), 'file_conflict');
    assert.equal(await refusal(tree.write(parsePath('a/b'), bytes('x'), MAX)), 'file_conflict');
    assert.equal(await refusal(tree.write(parsePath('a/b/c.txt/d'), bytes('x'), MAX)), 'file_conflict');
    await tree.makeDirectory(parsePath('d'));
    assert.equal(await refusal(tree.makeDirectory(parsePath('d'))), 'file_conflict');
    await tree.move(parsePath('a/b/c.txt'), parsePath('d/e.txt'), { isReplacing: false });
    assert.equal(await read('d/e.txt'), 'again');
    assert.equal(await refusal(tree.move(parsePath('a'), parsePath('d'), { isReplacing: false })), 'file_conflict');
    assert.equal(await refusal(tree.remove(parsePath('d'), { isRecursive: false })), 'file_conflict');
    await tree.remove(parsePath('d'), { isRecursive: true });
    assert.deepEqual(
      (await tree.list([], { limit: 10 })).entries.map(({ path: one }) => one),
      ['a'],
    );
    assert.equal(await refusal(tree.remove([], { isRecursive: true })), 'path_invalid');
    assert.deepEqual(readdirSync(path.join(base, 'staging')), []);
  });

  it('leaves nothing of a file that is too large or breaks off', async () => {
    await tree.write(parsePath('f'), bytes('before'), MAX);
    assert.equal(await refusal(tree.write(parsePath('f'), bytes('x'.repeat(2000)), MAX)), 'file_too_large');
    async function* broken() {
      yield Buffer.from('half');
      throw new Error('cut off');
    }
    await assert.rejects(tree.write(parsePath('new/f'), broken(), MAX), /cut off/);
    assert.equal(await read('f'), 'before');
    assert.deepEqual([readdirSync(at()), readdirSync(path.join(base, 'staging'))], [['f'], []]);
  });

  it('follows no link, and replaces or removes the link itself', async () => {
    symlinkSync(path.join(base, 'outside'), at('link'));
    symlinkSync('../outside/secret', at('file'));
    for (const name of ['link/secret', 'file']) assert.notEqual(await refusal(read(name)), 'done', name);
    assert.equal(await refusal(tree.list(parsePath('link'), { limit: 5 })), 'file_not_found');
    assert.equal(await refusal(tree.write(parsePath('link/new'), bytes('x'), MAX)), 'file_conflict');
    assert.equal(await refusal(tree.remove(parsePath('link/secret'), { isRecursive: true })), 'file_not_found');
    assert.equal((await tree.stat(parsePath('file'))).target, '../outside/secret');
    await tree.write(parsePath('file'), bytes('mine'), MAX);
    await tree.remove(parsePath('link'), { isRecursive: true });
    assert.equal(await read('file'), 'mine');
    assert.deepEqual(readdirSync(path.join(base, 'outside')), ['secret']);
    assert.equal(readFileSync(path.join(base, 'outside', 'secret'), 'utf8'), 'CANARY');
  });

  it('opens no pipe and no file that another user has under a second name', async () => {
    execFileSync('mkfifo', [at('pipe')]);
    assert.equal(await refusal(read('pipe')), 'file_refused');
    assert.equal((await tree.stat(parsePath('pipe'))).kind, 'other');
    linkSync(path.join(base, 'outside', 'secret'), at('hard'));
    // Where the server is no root, the file is the sandbox's own, and the mount's border is what keeps links out.
    if (process.getuid?.() === 0) assert.equal(await refusal(read('hard')), 'file_refused');
    await tree.remove(parsePath('hard'), { isRecursive: false });
    assert.equal(readFileSync(path.join(base, 'outside', 'secret'), 'utf8'), 'CANARY');
  });

  it('lists page by page, and shows names that no request can have', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) writeFileSync(at(name), name);
    writeFileSync(Buffer.concat([Buffer.from(`${at()}/`), Buffer.from([0xff, 0xfe])]), 'odd');
    writeFileSync(at('new\nline'), 'odd');
    const seen: (string | undefined)[] = [];
    let after: Buffer | undefined;
    do {
      const page = await tree.list([], { limit: 2, after });
      seen.push(...page.entries.map((one) => one.path));
      after = page.next;
    } while (after !== undefined);
    assert.deepEqual(seen, ['a', 'b', 'c', 'd', 'e', undefined, undefined]);
  });

  it('removes a tree deeper than a path can be long', async () => {
    mkdirSync(at('top', 'end'), { recursive: true });
    for (let level = 0; level < 600; level++) {
      mkdirSync(at('above'));
      renameSync(at('top'), at('above', 'deep-directory'));
      renameSync(at('above'), at('top'));
    }
    symlinkSync(path.join(base, 'outside'), at('top', 'link'));
    await tree.remove(parsePath('top'), { isRecursive: true });
    assert.deepEqual([readdirSync(at()), existsSync(path.join(base, 'outside', 'secret'))], [[], true]);
  });

  it('refuses paths that could mean another place', () => {
    const bad = [
      '..',
      'a/../b',
      '/etc',
      'a//b',
      'a/./b',
      'a\0b',
      'a\nb',
      '\ud800',
      'a/\u202etxt',
      'x'.repeat(256),
      'é'.repeat(128),
      'a/'.repeat(65),
      `${'y'.repeat(200)}/`.repeat(30),
    ];
    for (const text of bad)
      assert.throws(
        () => parsePath(text),
        (error) => isPlatformError(error, 'path_invalid'),
        JSON.stringify(text),
      );
    for (const text of ['', '.', '/']) assert.deepEqual(parsePath(text), []);
    assert.deepEqual(parsePath('..a/b..c/ é/'), ['..a', 'b..c', ' é']);
  });
});
