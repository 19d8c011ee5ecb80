import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { newId, newUnique } from '../../src/base/ids.ts';
import { silentLogger } from '../../src/base/log.ts';
import { sandboxLabels } from '../../src/runtime/conformance/bench.ts';
import { createDockerDriver } from '../../src/runtime/docker/driver.ts';
import { testEngine } from '../../src/runtime/docker/test-engine.ts';
import type { SandboxRef, SandboxSpec } from '../../src/runtime/driver.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { containersOf, docker } from '../support/engine.ts';
import { runCli } from '../support/run-cli.ts';

const engine = await testEngine();
const skip = engine.ok ? false : engine.reason;
const BASE = engine.ok ? engine.image : '';
/** Only what is older than ten minutes counts as forgotten: the command believes that it is later than it is. */
const LATER = '--import=data:text/javascript,const{now}=Date;Date.now=()=>now()+11*60000';

describe('cloister prune on a real engine', { skip, timeout: 180_000 }, () => {
  const driver = createDockerDriver({ log: silentLogger });
  const tag = `cloister-prune:${newUnique().toLowerCase()}`;
  const images: string[] = [];
  let dataDir = '';
  let own = '';
  const other = newId('installation');

  before(async () => {
    dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-prune-'));
    const store = await openSqliteStore({ file: path.join(dataDir, 'cloister.db'), clock: systemClock });
    own = await store.installationId();
    await store.close();
  });
  after(async () => {
    for (const installation of [own, other])
      for (const id of await containersOf(`cloister.installation=${installation}`)) await docker('rm', '-f', id);
    const left = await existing(images);
    if (left.length > 0) await docker('rmi', '-f', ...left);
    await driver.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  const prune = async (...args: string[]) => {
    const env = { CLOISTER_RUNTIME: 'docker', DATA_DIR: dataDir, PORT: '1', NODE_OPTIONS: LATER };
    const { stdout, stderr, code } = await runCli(env, ['prune', '--json', ...args]);
    const found: { kind: string; what: string; failure?: string }[] = JSON.parse(stdout.toString()).items;
    const of = (kind: string) => new Map(found.filter((item) => item.kind === kind).map(({ what, failure }) => [what, failure]));
    return { code, stderr, sandboxes: of('sandbox'), images: of('image') };
  };
  const sandbox = async (installation: string, image = BASE): Promise<SandboxRef> => driver.create(specOf(installation, image));
  const idsOf = async ({ handle }: SandboxRef) => [(await docker('inspect', '--format', '{{.Id}}', handle)).trim()];
  const make = async (...args: string[]) => {
    const id = await build(...args);
    images.push(id);
    return id;
  };

  it('takes the stopped sandboxes and the former images that are nobody’s, and lets all others be', async () => {
    const ours = ['--label', 'cloister.image.variant=prune-test'];
    const [former, used, tagged, foreign] = [await make(...ours), await make(...ours), await make(...ours, '--tag', tag), await make()];
    const [stopped, never, running, elsewhere] = [await sandbox(own), await sandbox(own), await sandbox(own, used), await sandbox(other)];
    await docker('start', stopped.handle, running.handle);
    await docker('kill', stopped.handle);

    const listed = await prune();
    assert.equal(listed.code, 0, listed.stderr);
    assert.deepEqual([...listed.sandboxes.keys()].sort(), [stopped.sandbox, never.sandbox].sort());
    assert.deepEqual(
      [former, used, tagged, foreign].map((id) => listed.images.has(id)),
      [true, true, false, false],
    );
    assert.deepEqual(await existing(images), images, 'nothing was removed');

    const removed = await prune('--yes');
    assert.deepEqual([...removed.sandboxes.values()], [undefined, undefined]);
    assert.deepEqual([removed.images.get(former), removed.images.get(used)], [undefined, 'it is in use']);
    assert.equal(removed.code, 1, 'one could not be removed');
    assert.deepEqual(await containersOf(`cloister.installation=${own}`), await idsOf(running));
    assert.deepEqual(await containersOf(`cloister.installation=${other}`), await idsOf(elsewhere));
    assert.deepEqual(await existing(images), [used, tagged, foreign]);

    await driver.remove(running);
    const last = await prune('--yes');
    assert.deepEqual([last.images.has(used), last.images.get(used)], [true, undefined]);
    assert.deepEqual(await existing(images), [tagged, foreign]);
  });
});

function specOf(installation: string, image: string): SandboxSpec {
  return {
    labels: sandboxLabels(installation),
    image,
    argv: ['node', '-e', 'setInterval(() => undefined, 1000)'],
    env: {},
    cwd: '/',
    uid: 1000,
    gid: 1000,
    memoryBytes: 128 * 1024 ** 2,
    cpus: 0.5,
    pids: 32,
    mounts: [],
    tmpBytes: 1024 ** 2,
  };
}

/** An image with a layer of its own name, so that no other has its id. */
async function build(...args: string[]): Promise<string> {
  const child = spawn('docker', ['build', '--quiet', '--label', `cloister.test=${newUnique()}`, ...args, '-'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  let id = '';
  child.stdout.on('data', (chunk: Buffer) => {
    id += chunk.toString();
  });
  child.stdin.end(`FROM ${BASE}\n`);
  const [code] = await once(child, 'close');
  assert.equal(code, 0);
  return id.trim();
}

async function existing(ids: readonly string[]): Promise<readonly string[]> {
  const all = new Set((await docker('images', '-aq', '--no-trunc')).split('\n'));
  return ids.filter((id) => all.has(id));
}
