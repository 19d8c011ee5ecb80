import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createHostPaths, type HostPaths } from './host-paths.ts';
import { type Answer, answerJson, startScriptedEngine } from './scripted-engine.ts';

const ID = 'a'.repeat(64);
const MOUNTS = [
  { Type: 'volume', Name: 'cloister-data', Source: '/var/lib/docker/volumes/cloister-data/_data', Destination: '/data', RW: true },
  { Type: 'bind', Source: '/srv/shared', Destination: '/data/sessions/shared', RW: true },
  { Type: 'tmpfs', Source: '', Destination: '/tmp' },
];
const INSIDE = `731 730 0:54 / / rw - overlay overlay rw\n740 731 254:0 /var/lib/docker/containers/${ID}/hostname /etc/hostname rw - ext4 /dev/vda rw\n`;
const OUTSIDE = '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n';

interface Place {
  readonly mountInfo?: string;
  readonly dataDir?: string;
  readonly hostDataDir?: string;
  readonly answer?: Answer;
}

async function withPaths(place: Place, run: (paths: HostPaths, asked: readonly string[]) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'cloister-mounts-'));
  const mountInfo = path.join(folder, 'mountinfo');
  writeFileSync(mountInfo, place.mountInfo ?? INSIDE);
  const answer: Answer = place.answer ?? ((_request, response) => answerJson(response, 200, { Id: ID, Mounts: MOUNTS }));
  await using engine = await startScriptedEngine({ answer });
  const { dataDir = '/data', hostDataDir } = place;
  try {
    await run(createHostPaths({ engine: engine.docker.engine, dataDir, hostDataDir, mountInfo }), engine.requests);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('paths in a container become those of the host, by the nearest mount', () =>
  withPaths({}, async (paths, asked) => {
    assert.equal(await paths.onHost('/data/sessions/a'), '/var/lib/docker/volumes/cloister-data/_data/sessions/a');
    assert.equal(await paths.onHost('/data/sessions/shared/b'), '/srv/shared/b');
    const { mounts } = await paths.specOnHost({ mounts: [{ hostPath: '/data/run/x', path: '/run/cloister', isReadOnly: true }] });
    assert.deepEqual(mounts, [{ hostPath: '/var/lib/docker/volumes/cloister-data/_data/run/x', path: '/run/cloister', isReadOnly: true }]);
    assert.match((await paths.describe()) ?? '', /^\/data is \/var\/lib\/docker\/volumes\/cloister-data\/_data on the host$/);
    assert.equal(asked.filter((request) => request.includes(ID)).length, 1, 'the engine is asked once');
    await assert.rejects(paths.onHost('/tmp/cloister-x/socket'), { code: 'sandbox_start_failed' });
    await assert.rejects(paths.onHost('/database'), { code: 'sandbox_start_failed' }, 'a name that only begins alike');
  }));

test('on the host, in a container of another engine, and without a data directory nothing changes', async () => {
  await withPaths({ mountInfo: OUTSIDE }, async (paths, asked) => {
    assert.equal(await paths.onHost('/data/x'), '/data/x');
    assert.equal(await paths.describe(), undefined);
    assert.deepEqual(asked, []);
  });
  const unknown: Answer = (_request, response) => answerJson(response, 404, { message: 'no such container' });
  await withPaths({ answer: unknown }, async (paths) => assert.equal(await paths.onHost('/data/x'), '/data/x'));
});

test('a data directory that no mount keeps is refused, with what to do', async () => {
  const refusal = { code: 'config_invalid', detail: /^DATA_DIR: .*Mount a volume/ };
  for (const dataDir of ['/srv/data', '/tmp/data'])
    await withPaths({ dataDir }, (paths) => assert.rejects(paths.onHost(`${dataDir}/x`), refusal));
  const notOurs: Answer = (_request, response) => answerJson(response, 403, { message: 'refused' });
  await withPaths({ answer: notOurs }, (paths) => assert.rejects(paths.describe(), refusal));
});

test('HOST_DATA_DIR is believed without asking', () =>
  withPaths({ hostDataDir: '/srv/cloister' }, async (paths, asked) => {
    assert.equal(await paths.onHost('/data/sessions/a'), '/srv/cloister/sessions/a');
    assert.equal(await paths.onHost('/mnt/photos'), '/mnt/photos');
    assert.deepEqual(asked, []);
  }));
