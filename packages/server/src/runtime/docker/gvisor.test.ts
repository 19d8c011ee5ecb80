import assert from 'node:assert/strict';
import { once } from 'node:events';
import os from 'node:os';
import { test } from 'node:test';
import { engineMissing } from '../../../test/support/engine.ts';
import { GVISOR, ownEngineMissing, startOwnEngine } from '../../../test/support/own-engine.ts';
import { newId } from '../../base/ids.ts';
import { silentLogger } from '../../base/log.ts';
import type { SandboxSpec } from '../driver.ts';
import { createDockerDriver } from './driver.ts';

const CLASS = 'runsc';
const IMAGE = 'node:24-bookworm-slim';

test('an agent lives in gVisor as in any sandbox, with a kernel of its own', { timeout: 300_000 }, async (t) => {
  const missing = (await ownEngineMissing(CLASS)) || (await engineMissing());
  if (missing !== false) return t.skip(missing);
  await using engine = await startOwnEngine({ images: [IMAGE], runtimes: GVISOR });
  const driver = createDockerDriver({ log: silentLogger, endpoint: engine.endpoint });
  t.after(() => driver.close());
  assert.ok((await driver.runtimeClasses?.())?.includes(CLASS));
  const names = { sandbox: newId('sandbox'), node: newId('node'), incarnation: newId('incarnation') };
  const spec: SandboxSpec = {
    labels: { installation: newId('installation'), tenant: 't', agent: 'a', session: 's', ...names },
    image: IMAGE,
    argv: [
      'node',
      '-e',
      "process.stdin.on('data', (line) => process.stdout.write('heard ' + line)); process.stdin.on('end', () => process.exit(0));",
    ],
    env: {},
    cwd: '/',
    uid: 1000,
    gid: 1000,
    memoryBytes: 256 * 1024 ** 2,
    cpus: 1,
    // The threads of gVisor itself and a stub for each process count as well: with 64 it ends at its start.
    pids: 256,
    mounts: [],
    tmpBytes: 16 * 1024 ** 2,
    runtimeClass: CLASS,
  };
  const ref = await driver.create(spec);
  try {
    const io = await driver.start(ref);
    io.stderr.resume();
    for (const word of ['one', 'two']) {
      io.stdin.write(`${word}\n`);
      assert.equal(String((await once(io.stdout, 'data'))[0]), `heard ${word}\n`);
    }
    const look =
      "const os = require('os'), fs = require('fs'); console.log(JSON.stringify([os.release(), process.getuid(), Object.keys(os.networkInterfaces()), fs.readFileSync('/proc/version', 'utf8')]))";
    const process = await driver.exec(ref, { argv: ['node', '-e', look] });
    process.stderr.resume();
    const told: Buffer[] = [];
    process.stdout.on('data', (chunk: Buffer) => told.push(chunk));
    assert.equal((await process.exited).exitCode, 0);
    const [release, uid, cards] = JSON.parse(Buffer.concat(told).toString()) as [string, number, string[]];
    assert.notEqual(release, os.release(), "the host's kernel is not seen");
    assert.equal(uid, 1000);
    assert.deepEqual(
      cards.filter((card) => card !== 'lo'),
      [],
    );
    assert.equal((await driver.inspect(ref))?.state, 'running');
  } finally {
    await driver.remove(ref);
  }
  assert.equal(await driver.inspect(ref), undefined);
});
