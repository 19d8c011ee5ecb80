import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { mountSmallDisk, skipWithoutMount } from './loop-filesystem.ts';

it('is full when it is filled, and has room again when it is freed', { skip: skipWithoutMount }, async (t) => {
  await using disk = await mountSmallDisk();
  t.diagnostic(disk.kind);
  const file = path.join(disk.folder, 'file');
  writeFileSync(file, 'before');
  disk.fill();
  assert.throws(() => writeFileSync(path.join(disk.folder, 'other'), Buffer.alloc(8192)), { code: 'ENOSPC' });
  await disk.free();
  writeFileSync(path.join(disk.folder, 'other'), Buffer.alloc(8192));
});
