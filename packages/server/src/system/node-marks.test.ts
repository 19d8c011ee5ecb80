import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { silentLogger } from '../base/log.ts';
import { createNodeMarks, type NodeMarks } from './node-marks.ts';

const BOOT = 'c0ffee00-0000-0000-0000-000000000000';

describe('marks of nodes', () => {
  let dataDir = '';
  const marks = (boot: string | undefined = BOOT): NodeMarks =>
    createNodeMarks({ dataDir, log: silentLogger, bootId: async () => (boot === '' ? undefined : boot) });

  before(async () => {
    dataDir = await mkdtemp(path.join(tmpdir(), 'marks-'));
  });
  after(() => rm(dataDir, { recursive: true, force: true }));

  /** A server of another process; it has its mark when this resolves. */
  async function server(nodeId: string, boot = BOOT): Promise<ChildProcess> {
    const program = `
      const { createNodeMarks } = await import(${JSON.stringify(path.join(import.meta.dirname, 'node-marks.ts'))});
      await createNodeMarks({ dataDir: ${JSON.stringify(dataDir)}, log: console, bootId: async () => '${boot}' }).set('${nodeId}');
      console.log('set');
      setInterval(() => undefined, 60_000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    return child;
  }

  async function kill(child: ChildProcess): Promise<void> {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  it('tells once that a server was killed, and never that of one which is paused', async () => {
    const [first, second] = await Promise.all([server('nod_one'), server('nod_two')]);
    assert.deepEqual(await marks().takeDead(), []);
    second.kill('SIGSTOP');
    await kill(first);
    assert.deepEqual(await marks().takeDead(), ['nod_one']);
    assert.deepEqual(await marks().takeDead(), []);
    await kill(second);
    assert.deepEqual(await marks().takeDead(), ['nod_two']);
  });

  it('tells nothing of other hosts and former boots', async () => {
    await kill(await server('nod_far', 'decaf000-1'));
    assert.deepEqual(await marks().takeDead(), []);
    assert.deepEqual(await marks('').takeDead(), []);
    assert.deepEqual(await marks('decaf000-1').takeDead(), ['nod_far']);
  });

  it('leaves nothing when a server ends, and holds nobody up where no socket can be', async () => {
    const own = marks();
    await own.set('nod_own');
    assert.equal((await readdir(path.join(dataDir, 'nodes'))).length, 1);
    await own.clear();
    assert.deepEqual(await readdir(path.join(dataDir, 'nodes')), []);
    await marks().set(`nod_${'x'.repeat(200)}`);
    assert.deepEqual(await readdir(path.join(dataDir, 'nodes')), []);
  });
});
