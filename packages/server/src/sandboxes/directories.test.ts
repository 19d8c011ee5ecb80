import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { newId } from '../base/ids.ts';
import { ensureSessionDirectories, removeSessionDirectories, sessionDirectories } from './directories.ts';

/** Deeper than any path can be long. */
const DEPTH = 60;
const NAME = 'd'.repeat(200);

test('a session is removed whatever its sandbox made of the workspace, and nothing outside of it', async () => {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-directories-'));
  try {
    const id = newId('session');
    const { workspace } = await ensureSessionDirectories(dataDir, id);
    const outside = path.join(dataDir, 'outside');
    await mkdir(path.join(outside, 'sub'), { recursive: true });
    await writeFile(path.join(outside, 'sub', 'kept'), '');
    await symlink(outside, path.join(workspace, 'link'));
    await symlink(path.join('..', '..', '..', '..', 'outside'), path.join(workspace, '-rf'));
    await writeFile(Buffer.concat([Buffer.from(`${workspace}/`), Buffer.from([0xff, 0xfe, 0x0a])]), '');
    await mkdir(path.join(workspace, 'closed', 'inner'), { recursive: true });
    await chmod(path.join(workspace, 'closed'), 0);
    // Built from the inside out, since no path leads down.
    for (let level = 0; level < DEPTH; level++) {
      await mkdir(path.join(workspace, 'next'));
      if (level > 0) await rename(path.join(workspace, NAME), path.join(workspace, 'next', NAME));
      await rename(path.join(workspace, 'next'), path.join(workspace, NAME));
    }
    await removeSessionDirectories(dataDir, id);
    assert.equal(existsSync(sessionDirectories(dataDir, id).root), false);
    assert.ok(existsSync(path.join(outside, 'sub', 'kept')));
    await removeSessionDirectories(dataDir, id);
    await removeSessionDirectories(path.join(dataDir, 'nowhere'), id);
  } finally {
    await rm(dataDir, { recursive: true });
  }
});
