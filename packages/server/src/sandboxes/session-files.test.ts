import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { skipWithoutLoopMounts } from '../../test/support/loop-mounts.ts';
import { createManualClock, type ManualClock } from '../../test/support/manual-clock.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { createLogger } from '../base/log.ts';
import { createSessionFiles, type FilesOwner, type SessionFiles, type SessionFilesDeps } from './session-files.ts';

const log = createLogger({ level: 'silent', format: 'json', file: undefined });
const owner = (id: string, config: FilesOwner['environment'] = {}): FilesOwner => ({
  id,
  tenantId: 'tnt_one',
  agentId: 'agt_one',
  environment: { config },
});

let dataDir: string;
let clock: ManualClock;
const live = new Set<string>();
const make = (given: Partial<SessionFilesDeps> = {}): SessionFiles =>
  createSessionFiles({
    clock,
    log,
    dataDir,
    defaultQuota: undefined,
    seesOurMounts: async () => true,
    isLive: (id) => live.has(id),
    isSole: true,
    ...given,
  });
const begin = async () => {
  // What is mounted is listed by its real path.
  dataDir = await realpath(await mkdtemp(path.join(os.tmpdir(), 'cloister files ')));
  // What the kernel writes into an image has the time of the machine.
  clock = createManualClock(Date.now());
};
const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8').replaceAll(String.raw`\040`, ' ').split(dataDir).length - 1;

describe('the files of sessions', () => {
  before(begin);
  after(() => rm(dataDir, { recursive: true }));

  it('are plain directories without a quota, and are removed whole', async () => {
    const files = make();
    const places = await files.ensure(owner('ses_plain'));
    assert.deepEqual([places.quota.mode, places.canRename, places.isShared], ['none', true, false]);
    assert.equal(places.workspace, path.join(dataDir, 'sessions', 'ses_plain', 'workspace'));
    await mkdir(places.snapshots, { recursive: true });
    await files.remove('ses_plain');
    assert.deepEqual([existsSync(path.dirname(places.workspace)), existsSync(places.snapshots)], [false, false]);
  });

  it('are watched where the engine does not see what is mounted here', async () => {
    const files = make({ seesOurMounts: async () => false });
    const places = await files.ensure(owner('ses_far', { disk: '64m' }));
    assert.deepEqual([places.quota.mode, places.quota.bytes, places.quota.maxEntries], ['watched', 64 * 1024 ** 2, 16_384]);
    const { mode, reason } = await files.enforcement();
    assert.equal(mode, 'watched');
    assert.match(reason ?? '', /./);
  });
});

describe('a disk of its own', { skip: skipWithoutLoopMounts }, () => {
  before(begin);
  after(async () => {
    await make().stop();
    assert.equal(mounts(), 0, 'nothing is left mounted');
    await rm(dataDir, { recursive: true });
  });

  it('ends at its size and its number of files, for home and workspace together', async () => {
    const files = make({ defaultQuota: 64 * 1024 ** 2 });
    const [places, again] = await Promise.all([files.ensure(owner('ses_full')), files.ensure(owner('ses_full'))]);
    assert.deepEqual(again, places);
    assert.deepEqual([places.quota.mode, places.canRename], ['enforced', false]);
    assert.equal(mounts(), 1, 'once, however many ask');
    assert.deepEqual(await readdir(path.dirname(places.home)), ['home', 'workspace']);
    await assert.rejects(writeFile(path.join(places.workspace, 'big'), Buffer.alloc(80 * 1024 ** 2)), { code: 'ENOSPC' });
    await assert.rejects(writeFile(path.join(places.home, 'more'), Buffer.alloc(8 * 1024 ** 2)), { code: 'ENOSPC' });
    await rm(path.join(places.workspace, 'big'));
    await writeFile(path.join(places.home, 'more'), Buffer.alloc(8 * 1024 ** 2));
    const image = path.join(dataDir, 'sessions', '.disks', 'ses_full.img');
    await waitFor(() => statSync(image).blocks * 512 < 48 * 1024 ** 2, {
      timeoutMs: 60_000,
      what: 'what is deleted to go back to the host',
    });
    const options = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .find((line) => line.includes('ses_full'));
    assert.match(options ?? '', /nosuid,nodev/);
  });

  it('is found again by the next server, whether it is mounted or not, and is never mounted over files', async () => {
    const first = make();
    const disk = owner('ses_kept', { disk: '64m' });
    const { workspace } = await first.ensure(disk);
    await writeFile(path.join(workspace, 'a'), 'a');
    // The first was killed: its mount is there.
    assert.equal((await make().ensure(disk)).quota.mode, 'enforced');
    await first.stop();
    assert.equal(existsSync(path.join(workspace, 'a')), false, 'unmounted');
    assert.equal((await make().ensure(disk)).quota.mode, 'enforced');
    assert.equal(readFileSync(path.join(workspace, 'a'), 'utf8'), 'a');
    await make().ensure(owner('ses_older'));
    assert.equal((await make({ defaultQuota: 64 * 1024 ** 2 }).ensure(owner('ses_older'))).quota.mode, 'watched');
  });

  it('is unmounted when nobody has used it for a while, and stays while a sandbox or a reader has it', async () => {
    const files = make();
    await files.start();
    const [idle, busy, read] = ['ses_idle', 'ses_busy', 'ses_read'].map((id) => owner(id, { disk: '64m' })) as [
      FilesOwner,
      FilesOwner,
      FilesOwner,
    ];
    live.add('ses_busy');
    const device = async (id: string) => (await stat(path.join(dataDir, 'sessions', id))).dev;
    for (const one of [idle, busy]) await files.ensure(one);
    const reading = await open((await files.ensure(read)).workspace);
    const [host, own] = [await device('.'), await device('ses_busy')];
    assert.notEqual(own, host);
    for (let minute = 0; minute < 7; minute++) clock.advance(60_000);
    await waitFor(async () => (await device('ses_idle')) === host, { timeoutMs: 30_000, what: 'the unused disk to be unmounted' });
    assert.equal(await device('ses_busy'), own);
    await files.stop();
    assert.deepEqual([await device('ses_idle'), await device('ses_busy')], [host, host], 'all, since it was the only server');
    assert.notEqual(await device('ses_read'), host);
    await reading.close();
    live.clear();
  });

  it('is one for all sessions of an agent that share a workspace, beside that of each home', async () => {
    const files = make();
    const shares = (id: string) => files.ensure(owner(id, { disk: '64m', workspace: 'agent' }));
    const [one, other] = [await shares('ses_one'), await shares('ses_two')];
    assert.deepEqual([one.quota.mode, one.isShared, one.canRename, one.workspace], ['enforced', true, false, other.workspace]);
    assert.notEqual(one.home, other.home);
    await writeFile(path.join(one.workspace, 'a'), 'a');
    await assert.rejects(writeFile(path.join(one.workspace, 'big'), Buffer.alloc(80 * 1024 ** 2)), { code: 'ENOSPC' });
    await writeFile(path.join(other.home, 'own'), Buffer.alloc(8 * 1024 ** 2));
    for (const id of ['ses_one', 'ses_two']) await files.remove(id);
    assert.equal(readFileSync(path.join(one.workspace, 'a'), 'utf8'), 'a');
    await files.removeShared('agt_one');
    assert.equal(existsSync(path.dirname(one.workspace)), false);
  });

  it('goes with its session, also while something has a file open there', async () => {
    const files = make();
    const { workspace } = await files.ensure(owner('ses_gone', { disk: '64m' }));
    const held = await open(path.join(workspace, 'held'), 'w');
    await files.remove('ses_gone');
    await held.close();
    const loops = execFileSync('/bin/sh', ['-c', 'PATH=/usr/sbin:/sbin:/usr/bin losetup -O BACK-FILE -n'], { encoding: 'utf8' });
    assert.deepEqual(
      (await readdir(path.join(dataDir, 'sessions'))).filter((name) => name.includes('ses_gone')),
      [],
    );
    assert.equal(existsSync(path.join(dataDir, 'sessions', '.disks', 'ses_gone.img')), false);
    assert.doesNotMatch(loops, /ses_gone\.img$/m);
  });
});
