import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { sandboxUser } from '../sandboxes/directories.ts';
import { copyTree } from './copy-tree.ts';
import { openRoot } from './held-directory.ts';
import { measure } from './usage.ts';

const MIB = 1024 ** 2;
const NO_BOUND = { bytes: Infinity, entries: Infinity };
const skip = process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only';

describe('the tree of a hostile sandbox', { skip }, () => {
  let dir: string;
  let home: string;
  let workspace: string;
  before(() => {
    dir = mkdtempSync(path.join(os.tmpdir(), 'cloister-usage-'));
    [home, workspace] = [path.join(dir, 'home'), path.join(dir, 'workspace')];
    mkdirSync(home);
    mkdirSync(path.join(workspace, 'src'), { recursive: true });
    writeFileSync(path.join(workspace, 'src', 'a'), Buffer.alloc(2 * MIB, 7));
    // A file with several names is read only if it is the sandbox's own.
    if (process.getuid?.() === 0) chownSync(path.join(workspace, 'src', 'a'), sandboxUser().uid, sandboxUser().gid);
    linkSync(path.join(workspace, 'src', 'a'), path.join(home, 'again'));
    writeFileSync(path.join(dir, 'secret'), Buffer.alloc(8 * MIB, 7));
    symlinkSync(dir, path.join(workspace, 'out'));
    symlinkSync(path.join(dir, 'secret'), path.join(workspace, 'secret'));
    execFileSync('mkfifo', [path.join(workspace, 'pipe')]);
    writeFileSync(path.join(workspace, 'holes'), '');
    truncateSync(path.join(workspace, 'holes'), 1024 ** 4);
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('is measured by what it takes on the disk, each file once, and no link is followed', async () => {
    const { bytes, entries, stopped } = await measure([home, workspace], NO_BOUND);
    assert.equal(stopped, undefined);
    assert.ok(bytes >= 2 * MIB && bytes < 3 * MIB, String(bytes));
    assert.equal(entries, 7);
  });

  it('is measured no further than a bound, and not deeper than it can be', async () => {
    assert.equal((await measure([home, workspace], { ...NO_BOUND, bytes: MIB })).stopped, 'bytes');
    assert.equal((await measure([home, workspace], { ...NO_BOUND, entries: 3 })).stopped, 'entries');
    const deep = path.join(dir, 'deep');
    mkdirSync(path.join(deep, ...Array.from({ length: 300 }, () => 'd')), { recursive: true });
    assert.equal((await measure([deep], NO_BOUND)).stopped, 'depth');
  });

  it('is copied as it is, bounded by what holes may become, and nothing is opened that blocks', async () => {
    const copy = path.join(dir, 'copy');
    mkdirSync(copy);
    const copyAll = async (bounds: { maxBytes: number; maxEntries: number }) => {
      await using from = await openRoot(workspace);
      await using to = await openRoot(copy);
      await copyTree(from, to, { ...bounds, owner: sandboxUser() });
    };
    await assert.rejects(copyAll({ maxBytes: 100 * MIB, maxEntries: 100 }), { code: 'archive_too_large' });
    rmSync(path.join(workspace, 'holes'));
    rmSync(copy, { recursive: true });
    mkdirSync(copy);
    await assert.rejects(copyAll({ maxBytes: 100 * MIB, maxEntries: 2 }), { code: 'archive_too_large' });
    rmSync(copy, { recursive: true });
    mkdirSync(copy);
    await copyAll({ maxBytes: 100 * MIB, maxEntries: 100 });
    assert.deepEqual(readdirSync(copy).sort(), ['out', 'secret', 'src']);
    assert.ok(lstatSync(path.join(copy, 'secret')).isSymbolicLink() && lstatSync(path.join(copy, 'out')).isSymbolicLink());
    assert.deepEqual(readFileSync(path.join(copy, 'src', 'a')), Buffer.alloc(2 * MIB, 7));
    assert.equal(existsSync(path.join(copy, 'pipe')), false);
  });
});
