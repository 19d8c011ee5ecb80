import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../base/log.ts';
import { forgetPinned, pinInstallation } from './installation.ts';

test('the first installation stays the only one, over restarts, until it is forgotten', async () => {
  await using folder = await mkdtempDisposable(path.join(tmpdir(), 'cloister-pin-'));
  const file = path.join(folder.path, 'installation');
  const start = () => pinInstallation({ file, log: silentLogger });
  assert.equal(forgetPinned(file), undefined, 'there is nothing to forget yet');
  assert.equal(start().claim('ins_first'), true);
  assert.equal(start().claim('ins_second'), false);
  assert.equal(forgetPinned(file), 'ins_first');
  const later = start();
  assert.equal(later.is('ins_first'), false);
  assert.equal(later.claim('ins_second'), true);
  assert.equal(start().name(), 'ins_second');
});
