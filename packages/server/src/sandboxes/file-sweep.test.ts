import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createManualClock } from '../../test/support/manual-clock.ts';
import { createLogger } from '../base/log.ts';
import { ensureFilesOwner, ensureSessionDirectories, ensureVolume } from './directories.ts';
import { createFileSweep } from './file-sweep.ts';
import { createSessionFiles } from './session-files.ts';

const log = createLogger({ level: 'silent', format: 'json', file: undefined });

test('files of sessions that are gone are removed, and nothing else', async () => {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-files-'));
  try {
    const clock = createManualClock();
    const old = new Date(clock.now() - 3_600_000);
    const folder = (name: string) => path.join(dataDir, 'sessions', name);
    const gone = Array.from({ length: 450 }, (_, index) => `ses_gone${index}`);
    for (const id of ['ses_kept', 'ses_fresh', ...gone]) await ensureSessionDirectories(dataDir, id);
    await writeFile(path.join(folder('ses_gone0'), 'workspace', 'x'), 'x');
    await mkdir(folder('somebody-elses'));
    await ensureVolume(dataDir);
    for (const name of ['ses_kept', 'somebody-elses', ...gone]) await utimes(folder(name), old, old);
    await utimes(folder('ses_fresh'), new Date(clock.now()), new Date(clock.now()));
    const asked: number[] = [];
    const sessions = {
      existing: async ({ ids }: { ids: readonly string[] }) => {
        asked.push(ids.length);
        return new Set(ids.filter((id) => id === 'ses_kept'));
      },
    };
    const files = createSessionFiles({
      clock,
      log,
      dataDir,
      defaultQuota: undefined,
      seesOurMounts: async () => true,
      isLive: () => false,
      isSole: true,
    });
    const agents = { inUse: async ({ ids }: { ids: readonly string[] }) => new Set(ids.filter((id) => id === 'agt_used')) };
    const sharedOf = (id: string) => path.join(dataDir, 'sessions', '.agents', id);
    for (const id of ['agt_used', 'agt_gone']) {
      await mkdir(path.join(sharedOf(id), 'workspace'), { recursive: true });
      await utimes(sharedOf(id), old, old);
    }
    const half = path.join(dataDir, 'sessions', '.snapshots', 'ses_half');
    await mkdir(half, { recursive: true });
    await utimes(half, old, old);
    const sweep = createFileSweep({ sessions, agents, files, clock, log, dataDir, installation: 'ins_one' });
    // A database that came later than the files' own knows none of their sessions.
    await ensureFilesOwner(dataDir, 'ins_one');
    await createFileSweep({ sessions, agents, files, clock, log, dataDir, installation: 'ins_two' }).sweep();
    assert.deepEqual(asked, []);
    await sweep.sweep();
    assert.deepEqual(
      gone.filter((id) => existsSync(folder(id))),
      [],
    );
    assert.deepEqual([existsSync(half), existsSync(sharedOf('agt_gone')), existsSync(sharedOf('agt_used'))], [false, false, true]);
    for (const name of ['ses_kept', 'ses_fresh', 'somebody-elses', '.volume']) assert.ok(existsSync(folder(name)), name);
    assert.equal(existsSync(half), false);
    assert.ok(asked.every((count) => count <= 200));
    await sweep.stop();
  } finally {
    await rm(dataDir, { recursive: true });
  }
});

test('servers that share the files read the same volume', async () => {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-volume-'));
  try {
    const ids = await Promise.all(Array.from({ length: 8 }, () => ensureVolume(dataDir)));
    assert.match(ids[0] ?? '', /^vol_/);
    assert.equal(new Set([...ids, await ensureVolume(dataDir)]).size, 1);
  } finally {
    await rm(dataDir, { recursive: true });
  }
});
