import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const UNITS = path.resolve(import.meta.dirname, '../../../../deploy/systemd');
const VERIFIER = '/usr/bin/systemd-analyze';

it('systemd takes the units as they are', async (t) => {
  if (!existsSync(VERIFIER)) return t.skip('needs systemd-analyze');
  const runtimeDir = await mkdtemp(path.join(os.tmpdir(), 'systemd-'));
  t.after(() => rm(runtimeDir, { recursive: true, force: true }));
  const env = { ...process.env, XDG_RUNTIME_DIR: runtimeDir };
  for (const [unit, ...scope] of [['cloister.service'], ['cloister-rootless.service', '--user']]) {
    const { stderr } = await run(VERIFIER, ['verify', ...scope, path.join(UNITS, unit ?? '')], { env });
    // It warns of what it does not know and still answers 0.
    if (stderr.includes('cloister')) throw new Error(stderr);
  }
});
