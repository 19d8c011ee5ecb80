import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import { GATEWAY_SOCKET_NAME } from '../egress/gateway.ts';
import { ensureSocketDirectory, removeSocketDirectory, socketDirectory, socketParents } from './socket-directories.ts';
import { createSocketResidue } from './socket-residue.ts';

/** A data directory that two servers of one installation share, and what one of them sees in it. */
async function setup(isSoleNode = false) {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-sockets-'));
  const [owned, alive, inUse] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const residue = createSocketResidue({
    dataDir,
    installation: 'ins_own',
    nodeId: 'nod_own',
    isSoleNode,
    clock: systemClock,
    isOwned: (id) => owned.has(id),
    isAliveElsewhere: (id) => alive.has(id),
  });
  return {
    dataDir,
    owned,
    alive,
    inUse,
    residue,
    /** A directory that was last touched an hour and more ago. */
    async old(node: string, installation = 'ins_own'): Promise<string> {
      const id = newId('sandbox');
      const directory = await ensureSocketDirectory(dataDir, id, { installation, node });
      const then = new Date(systemClock.now() - 2 * 3_600_000);
      await utimes(directory, then, then);
      return id;
    },
    async sweep(isOld = true): Promise<readonly string[]> {
      const found = await residue.list({ inUse, isOld: () => isOld });
      for (const one of found) await residue.remove(one, {});
      return found.map(({ id }) => id);
    },
    has: (id: string) => existsSync(socketDirectory(dataDir, id)),
    [Symbol.asyncDispose]: () => rm(dataDir, { recursive: true }),
  };
}

test('the sockets of a dead server go; those of the living, of sandboxes that there are, and of strangers stay', async () => {
  await using part = await setup();
  const [dead, own, strange] = [await part.old('nod_dead'), await part.old('nod_own'), await part.old('nod_dead', 'ins_other')];
  const [held, running, neighbour] = [await part.old('nod_own'), await part.old('nod_dead'), await part.old('nod_next')];
  part.owned.add(held);
  part.inUse.add(running);
  part.alive.add('nod_next');
  const nameless = path.join(part.dataDir, 'run', newId('sandbox'));
  await mkdir(nameless);
  await mkdir(path.join(part.dataDir, 'run', 'somebody-elses'));
  assert.deepEqual(new Set(await part.sweep()), new Set([dead, own]));
  assert.deepEqual([dead, own].filter(part.has), []);
  assert.deepEqual(
    [strange, held, running, neighbour].filter((id) => !part.has(id)),
    [],
  );
  assert.ok(existsSync(nameless), 'a young one without a name');
  const then = new Date(systemClock.now() - 2 * 3_600_000);
  await utimes(nameless, then, then);
  assert.deepEqual(await part.sweep(), [path.basename(nameless)]);
  assert.deepEqual(await part.sweep(), [], 'nothing is found twice');
});

test('one on which somebody listens stays, whatever is said of its server', async () => {
  await using part = await setup();
  const id = await part.old('nod_dead');
  const server = createServer().listen(path.join(socketDirectory(part.dataDir, id), GATEWAY_SOCKET_NAME));
  await once(server, 'listening');
  const then = new Date(systemClock.now() - 2 * 3_600_000);
  await utimes(socketDirectory(part.dataDir, id), then, then);
  assert.deepEqual(await part.sweep(), []);
  server.close();
  await once(server, 'close');
  // As a server that was killed leaves it.
  await writeFile(path.join(socketDirectory(part.dataDir, id), GATEWAY_SOCKET_NAME), '');
  await utimes(socketDirectory(part.dataDir, id), then, then);
  assert.deepEqual(await part.sweep(), [id]);
});

test('another server has time to say that it is alive; the only one needs none', async () => {
  const fresh = async (isSoleNode: boolean) => {
    await using part = await setup(isSoleNode);
    const id = newId('sandbox');
    await ensureSocketDirectory(part.dataDir, id, { installation: 'ins_own', node: 'nod_before' });
    return (await part.sweep()).includes(id);
  };
  assert.equal(await fresh(false), false);
  assert.equal(await fresh(true), true);
});

test('removing one removes no more than it, wherever its links lead', async () => {
  await using part = await setup();
  const id = await part.old('nod_dead');
  const kept = path.join(part.dataDir, 'kept');
  await mkdir(kept);
  await writeFile(path.join(kept, 'file'), '');
  await symlink(kept, path.join(socketDirectory(part.dataDir, id), 'link'));
  await removeSocketDirectory(part.dataDir, id);
  assert.equal(part.has(id), false);
  assert.ok(existsSync(path.join(kept, 'file')));
  await removeSocketDirectory(part.dataDir, id);
});

test('where the path is too long for a socket the temporary directory is swept too', async () => {
  await using part = await setup();
  const dataDir = path.join(part.dataDir, 'x'.repeat(80));
  const id = newId('sandbox');
  const directory = await ensureSocketDirectory(dataDir, id, { installation: 'ins_own', node: 'nod_dead' });
  const [, parent] = socketParents(dataDir);
  try {
    assert.equal(path.dirname(directory), parent);
    const then = new Date(systemClock.now() - 3_600_000);
    await utimes(directory, then, then);
    const residue = createSocketResidue({
      dataDir,
      installation: 'ins_own',
      nodeId: 'nod_own',
      isSoleNode: false,
      clock: systemClock,
      isOwned: () => false,
      isAliveElsewhere: () => false,
    });
    const [found] = await residue.list({ inUse: new Set(), isOld: () => true });
    assert.equal(found?.id, id);
    await residue.remove({ id }, {});
    assert.equal(existsSync(directory), false);
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
});
