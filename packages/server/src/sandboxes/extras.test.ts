import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { isPlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { JsonObject } from '../base/json.ts';
import { silentLogger } from '../base/log.ts';
import { createDockerDriver } from '../runtime/docker/driver.ts';
import { testEngine } from '../runtime/docker/test-engine.ts';
import { createExtras, type Extras } from './extras.ts';
import { buildSpec } from './spec.ts';

interface Place extends AsyncDisposable {
  readonly root: string;
  readonly dataDir: string;
  readonly file: string;
  readonly allow: (list: unknown) => Promise<void>;
  readonly extras: Extras;
}

async function setUp(): Promise<Place> {
  const root = await realpath(await mkdtemp(path.join(os.homedir() === '/root' ? '/var/tmp' : os.homedir(), 'cloister-mounts-')));
  const [dataDir, file] = [path.join(root, 'data-dir'), path.join(root, 'operator', 'mounts.json')];
  for (const name of ['data-dir', 'operator', 'open', 'open/sub', 'closed', 'closed/.ssh', 'elsewhere']) await mkdir(path.join(root, name));
  await writeFile(path.join(root, 'closed', 'note'), 'from outside');
  await writeFile(path.join(root, 'closed', 'server.pem'), 'secret');
  await symlink(path.join(root, 'elsewhere'), path.join(root, 'closed', 'escape'));
  const allow = (list: unknown) => writeFile(file, typeof list === 'string' ? list : JSON.stringify(list), { mode: 0o600 });
  const driver = { runtimeClasses: async () => ['crun', 'nvidia', 'runc'] };
  const extras = createExtras({ driver, dataDir, mountAllowlist: file, runtimeClasses: [] });
  return { root, dataDir, file, allow, extras, [Symbol.asyncDispose]: () => rm(root, { recursive: true }) };
}

const mounts = (source: string, more: JsonObject = {}): JsonObject => ({ mounts: [{ source, target: '/mnt/x', ...more }] });
const refusedFor = (words: RegExp) => (error: unknown) => {
  assert.ok(isPlatformError(error, 'mount_refused'), String(error));
  assert.match(error.detail, words);
  return true;
};

test('only what the list allows can be mounted, by its place on the disk', async () => {
  await using place = await setUp();
  const { root, extras, allow } = place;
  const at = (name: string) => path.join(root, name);
  await assert.rejects(extras.check(mounts(at('closed'))), refusedFor(/cannot be trusted: it is not there/));
  await allow({ roots: [{ path: at('closed') }, { path: at('open'), allow_write: true }], blocked: ['note*'] });
  await extras.check(mounts(at('closed')));
  await extras.check(mounts(at('open'), { read_only: false }));
  const cases: readonly (readonly [string, JsonObject, RegExp])[] = [
    ['elsewhere', {}, /in no root/],
    ['closed/escape', {}, /in no root/],
    ['closed/../elsewhere', {}, /in no root/],
    ['closed/missing', {}, /in no root .* or not there/],
    ['closed/.ssh', {}, /"\.ssh" is a blocked name/],
    ['closed/server.pem', {}, /"server\.pem" is a blocked name/],
    ['closed/note', {}, /"note" is a blocked name/],
    ['closed', { read_only: false }, /may only be read/],
    ['open/sub', {}, /only the whole can be mounted/],
    ['closed', { target: '/workspace' }, /no plain path below \/mnt/],
    ['closed', { target: '/mnt/../etc' }, /no plain path below \/mnt/],
    ['closed', { target: '/mnt' }, /no plain path below \/mnt/],
  ];
  for (const [source, more, words] of cases) await assert.rejects(extras.check(mounts(at(source), more)), refusedFor(words), source);
  await assert.rejects(extras.check(mounts('closed')), refusedFor(/no absolute path/));
  const twice = {
    mounts: [
      { source: at('closed'), target: '/mnt/a' },
      { source: 'memory', target: '/mnt/a/b' },
    ],
  };
  await assert.rejects(extras.check(twice), refusedFor(/lies in the target of another/));
  // The list is read anew each time.
  await allow({ roots: [] });
  await assert.rejects(
    extras.resolve({ tenantId: 't', agentId: 'a', environment: { config: mounts(at('closed')) } }),
    refusedFor(/in no root/),
  );
});

test('a list that cannot be trusted mounts nothing', async () => {
  await using place = await setUp();
  const { root, extras, allow, file } = place;
  const source = path.join(root, 'closed');
  const good = { roots: [{ path: source }] };
  const lists: readonly (readonly [unknown, RegExp])[] = [
    ['{', /no JSON object/],
    [{ roots: 'x' }, /"roots" is no list/],
    [{ ...good, extra: 1 }, /unknown field "extra"/],
    [{ roots: [{ path: source, allowWrite: true }] }, /unknown field "allowWrite"/],
    [{ roots: [{ path: 'closed' }] }, /no absolute "path"/],
    [{ roots: [{ path: '/' }] }, /is, holds or lies in/],
    [{ roots: [{ path: '/run' }] }, /is, holds or lies in/],
    [{ roots: [{ path: root }] }, /is, holds or lies in .*data-dir/],
    [{ roots: [{ path: path.join(root, 'operator') }] }, /lies in its own root/],
    [
      { roots: [{ path: path.join(root, 'open'), allow_write: true }, { path: path.join(root, 'open/sub') }] },
      /lies in a root that may be written to/,
    ],
    [{ ...good, blocked: ['a/b'] }, /"blocked" is no list of names/],
  ];
  for (const [list, words] of lists) {
    await allow(list);
    await assert.rejects(extras.check(mounts(source)), refusedFor(words), JSON.stringify(list));
  }
  await allow(good);
  await extras.check(mounts(source));
  await chmod(file, 0o666);
  await assert.rejects(extras.check(mounts(source)), refusedFor(/may write to it/));
  await chmod(file, 0o600);
  await chmod(path.dirname(file), 0o777);
  await assert.rejects(extras.check(mounts(source)), refusedFor(/directory it lies in/));
  const inside = path.join(place.dataDir, 'mounts.json');
  await writeFile(inside, JSON.stringify(good), { mode: 0o600 });
  const driver = { runtimeClasses: async () => [] };
  const other = createExtras({ driver, dataDir: place.dataDir, mountAllowlist: inside, runtimeClasses: [] });
  await assert.rejects(other.check(mounts(source)), refusedFor(/lies in DATA_DIR/));
  const none = createExtras({ driver, dataDir: place.dataDir, mountAllowlist: undefined, runtimeClasses: [] });
  await assert.rejects(none.check(mounts(source)), refusedFor(/MOUNT_ALLOWLIST is not set/));
});

test('runtimes: those that isolate, those that the operator names, and no others', async () => {
  await using place = await setUp();
  const missing = (words: RegExp) => (error: unknown) => isPlatformError(error, 'runtime_class_missing') && words.test(error.detail);
  const resolve = (extras: Extras, config: JsonObject) => extras.resolve({ tenantId: 't', agentId: 'a', environment: { config } });
  assert.equal((await resolve(place.extras, { runtime: 'crun' })).runtimeClass, 'crun');
  assert.equal((await resolve(place.extras, {})).runtimeClass, undefined);
  await assert.rejects(place.extras.check({ runtime: 'runsc' }), missing(/No runtime "runsc".*There are: crun, runc/));
  await assert.rejects(place.extras.check({ runtime: 'nvidia' }), missing(/There are: crun, runc\./));
  const { dataDir } = place;
  const driver = { runtimeClasses: async () => ['crun', 'nvidia', 'runc'] };
  const strict = createExtras({ driver, dataDir, mountAllowlist: undefined, runtimeClasses: ['crun'] });
  assert.equal((await resolve(strict, {})).runtimeClass, 'crun');
  await assert.rejects(resolve(strict, { runtime: 'runc' }), missing(/There are: crun\./));
  const gone = createExtras({ driver: {}, dataDir, mountAllowlist: undefined, runtimeClasses: ['runsc'] });
  await assert.rejects(resolve(gone, {}), missing(/none to choose from/));
});

const engine = await testEngine();

test('mounts, folders of their own and the runtime reach the sandbox', {
  skip: engine.ok ? false : engine.reason,
  timeout: 120_000,
}, async () => {
  assert.ok(engine.ok);
  await using place = await setUp();
  const { root, dataDir, allow } = place;
  await allow({ roots: [{ path: path.join(root, 'closed') }] });
  await chmod(root, 0o755);
  const driver = createDockerDriver({ log: silentLogger });
  const extras = createExtras({ driver, dataDir, mountAllowlist: place.file, runtimeClasses: [] });
  const config = {
    runtime: 'runc',
    mounts: [
      { source: path.join(root, 'closed'), target: '/mnt/data' },
      { source: 'memory', target: '/mnt/memory', read_only: false },
      { source: 'shared', target: '/mnt/shared', read_only: false },
    ],
  };
  const script = 'cat /mnt/data/note; for d in data memory shared; do touch /mnt/$d/made 2>/dev/null && echo " wrote $d"; done';
  try {
    const resolved = await extras.resolve({ tenantId: 'tnt_1', agentId: 'agt_1', environment: { config } });
    const names = { tenant: 'tnt_1', agent: 'agt_1', session: 'ses_1', sandbox: newId('sandbox'), node: newId('node') };
    const [workspace, home, socketDirectory] = [path.join(root, 'open'), path.join(root, 'open/sub'), path.join(root, 'elsewhere')];
    const ref = await driver.create(
      buildSpec({
        ...resolved,
        labels: { ...names, installation: newId('installation'), incarnation: newId('incarnation') },
        environment: { config },
        image: engine.image,
        launch: { argv: ['sh', '-c', script], env: {} },
        directories: { workspace, home },
        socketDirectory,
      }),
    );
    try {
      const io = await driver.start(ref);
      io.stderr.resume();
      assert.equal(await text(io.stdout), 'from outside wrote memory\n');
    } finally {
      await driver.remove(ref);
    }
    assert.equal(await readFile(path.join(dataDir, 'folders/tnt_1/agents/agt_1/made'), 'utf8'), '');
  } finally {
    await driver.close();
  }
});
