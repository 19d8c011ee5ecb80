import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { createManualClock } from '../../../test/support/manual-clock.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { systemClock } from '../../base/clock.ts';
import { newId } from '../../base/ids.ts';
import { asJsonObject, type JsonValue } from '../../base/json.ts';
import { silentLogger } from '../../base/log.ts';
import { sandboxLabels, waitForText } from '../conformance/bench.ts';
import type { SandboxSpec } from '../driver.ts';
import { createDockerDriver, type DockerDriver } from './driver.ts';
import { createEngine } from './engine.ts';
import { createNetworkHolders } from './holders.ts';
import { holderBody } from './holders-container.ts';
import { QUIRKS } from './quirks.ts';
import { answerJson, startScriptedEngine } from './scripted-engine.ts';
import { testEngine } from './test-engine.ts';
import { parseContainers, parseId } from './wire.ts';

const engine = await testEngine();
const raw = createEngine({ clock: systemClock });
after(() => raw.close());

const LIMIT = { timeout: 120_000 };
/** Tells its network namespace and what it finds there, and has a server that says hello. */
const PROGRAM = `
  const net = require('node:net');
  const cards = Object.keys(require('node:os').networkInterfaces());
  const host = require('node:os').hostname();
  net.createServer((socket) => socket.end('hello')).listen(7777, '127.0.0.1', () =>
    console.log(JSON.stringify({ namespace: require('node:fs').readlinkSync('/proc/self/ns/net'), cards, host, end: true })));`;
const VISIT = `
  const socket = require('node:net').connect(7777, '127.0.0.1');
  socket.on('data', (data) => { console.log(String(data)); process.exit(); }).on('error', (error) => { console.log(error.code); process.exit(); });`;

describe('network holders on an engine', { skip: engine.ok ? false : engine.reason }, () => {
  test('each sandbox has a namespace of its own, made ahead, and the holder goes once it runs', LIMIT, async () => {
    await using lab = createLab(2);
    const [first, second] = [await lab.open(), await lab.open()];
    const spaces = [first.namespace, second.namespace];
    assert.equal(new Set(spaces).size, 2);
    assert.deepEqual(await Promise.all([lab.networkOf(first), lab.networkOf(second)]), ['container', 'container']);
    for (const { cards, host } of [first, second]) assert.deepEqual([cards, host], [['lo'], 'sandbox']);
    await waitFor(async () => (await lab.holders()).every(({ id }) => id !== first.holder && id !== second.holder), {
      timeoutMs: 30_000,
      what: 'the used holders to go',
    });
    // The namespace is the sandbox's own by now: it, commands in it and its sleep go on.
    await lab.driver.sleep?.pause(first.ref);
    await lab.driver.sleep?.resume(first.ref);
    assert.equal(await lab.visit(first), 'hello');
    assert.equal((await lab.driver.list({ installation: lab.installation })).length, 2);
    await lab.ready(2);
    const third = await lab.open((spec) => ({ ...spec, argv: ['node', '-e', `${VISIT.replace('String(data)', "'visited'")}`] }));
    assert.equal(third.said, 'ECONNREFUSED', 'another sandbox is not there');
  });

  test('a holder that is gone before the start costs the sandbox nothing', LIMIT, async () => {
    await using lab = createLab(1);
    await lab.ready(1);
    const spec = lab.spec();
    const ref = await lab.driver.create(spec);
    const [holder] = await lab.holders();
    assert.equal((await lab.inspect(ref.handle)).network, `container:${holder?.id}`);
    await raw.call({ method: 'DELETE', path: `/containers/${holder?.id}`, query: { force: 1 } });
    const io = await lab.driver.start(ref);
    await waitForText(io.stdout, '"end":true');
    const seen = await lab.inspect(ref.handle);
    assert.deepEqual([seen.network, seen.status], ['none', 'running']);
    assert.deepEqual(
      (await lab.driver.list({ installation: lab.installation })).map((one) => [one.ref, one.labels, one.state]),
      [[ref, spec.labels, 'running']],
    );
    assert.deepEqual(await lab.driver.create(spec), ref, 'it is the same as before to whoever asks again');
  });

  test('a holder that dies in reserve is not used, and another takes its place', LIMIT, async () => {
    await using lab = createLab(1);
    await lab.ready(1);
    const [dead] = await lab.holders();
    await raw.call({ method: 'POST', path: `/containers/${dead?.id}/kill` });
    await waitFor(async () => (await lab.holders()).some(({ id, status }) => id !== dead?.id && status === 'running'), {
      timeoutMs: 60_000,
      what: 'another holder',
    });
    await lab.ready(1);
    const opened = await lab.open();
    assert.notEqual(opened.holder, dead?.id);
  });

  test('a killed server leaves no holder, and a listing removes what an older one left', LIMIT, async () => {
    await using lab = createLab(0);
    const script = `
      import { systemClock } from '${import.meta.dirname}/../../base/clock.ts';
      import { silentLogger } from '${import.meta.dirname}/../../base/log.ts';
      import { createDockerDriver } from '${import.meta.dirname}/driver.ts';
      setInterval(() => {}, 1000);
      const driver = createDockerDriver({ log: silentLogger, networkHolders: { size: 2, image: ${JSON.stringify(lab.image)} } });
      await driver.remove(await driver.create(${JSON.stringify(lab.spec())}));
      const timer = setInterval(() => driver.holders.ready() === 2 && console.log('ready'), 50);`;
    const server = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(createInterface({ input: server.stdout }), 'line');
    assert.equal((await lab.holders()).length, 2);
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
    await waitFor(async () => (await lab.holders()).length === 0, { timeoutMs: 30_000, what: 'the holders to go' });

    const left = await lab.leaveHolder();
    await lab.driver.list({ installation: lab.installation });
    assert.deepEqual(
      (await lab.holders()).map(({ id }) => id),
      [left],
      'a young one may be another server’s',
    );
    const later = createDockerDriver({ log: silentLogger, clock: { ...systemClock, now: () => systemClock.now() + 3 * 3_600_000 } });
    assert.deepEqual(await later.list({ installation: lab.installation }), [], 'a holder is no sandbox');
    await later.close();
    assert.deepEqual(await lab.holders(), []);
  });

  test('other runtimes than the tried ones get no holder', LIMIT, async () => {
    await using lab = createLab(1);
    await lab.ready(1);
    const ref = await lab.driver.create({ ...lab.spec(), runtimeClass: 'io.containerd.runc.v2' });
    assert.equal((await lab.inspect(ref.handle)).network, 'none');
    assert.equal(lab.driver.holders.ready(), 1);
  });
});

test('no holders for Podman, whose namespaces cost little', () => {
  assert.deepEqual(QUIRKS.podman.fasterInNetworks, []);
});

test('an engine that makes none is asked less and less, and no more when nobody needs any', async () => {
  let asked = 0;
  await using scripted = await startScriptedEngine({
    answer(request, response) {
      if (request.url?.endsWith('/info')) return answerJson(response, 200, { DefaultRuntime: 'runc', SecurityOptions: [] });
      if (request.url?.includes('/containers/create')) asked += 1;
      answerJson(response, 500, { message: 'no space left on device' });
    },
  });
  const clock = createManualClock();
  const holders = createNetworkHolders({ ...scripted.docker, clock }, { size: 1, image: 'x' });
  const labels = sandboxLabels('scripted');
  await scripted.docker.engine.address();
  assert.equal(holders.lend('a', { labels, json: {} }), undefined);
  for (const [index, waitMs] of [1500, 2000, 4000, 8000].entries()) {
    clock.advance(waitMs - 1);
    assert.equal(asked, index, 'not before its time');
    clock.advance(1);
    const wanted = index + 1;
    await waitFor(() => asked === wanted && clock.pending() === 2, { timeoutMs: 10_000, what: 'the next try, and its failure' });
  }
  clock.advance(11 * 60_000);
  await holders.close();
  assert.equal(clock.pending(), 0);
});

test('an engine whose default runtime brings its own kernel, or that maps users, is not asked for any', async () => {
  for (const info of [
    { DefaultRuntime: 'runsc', SecurityOptions: [] },
    { DefaultRuntime: 'runc', SecurityOptions: ['name=seccomp,profile=default', 'name=userns'] },
  ]) {
    await using scripted = await startScriptedEngine({
      answer: (request, response) => answerJson(response, request.url?.endsWith('/info') ? 200 : 500, info),
    });
    const clock = createManualClock();
    const holders = createNetworkHolders({ ...scripted.docker, clock }, { size: 1, image: 'x' });
    await scripted.docker.engine.address();
    holders.lend('a', { labels: sandboxLabels('scripted'), json: {} });
    clock.advance(1500);
    await waitFor(() => scripted.requests.some((one) => one.endsWith('/info')), { timeoutMs: 10_000, what: 'the question' });
    await holders.close();
    assert.deepEqual(
      scripted.requests.filter((one) => one.includes('create')),
      [],
    );
  }
});

interface Opened {
  readonly ref: Awaited<ReturnType<DockerDriver['create']>>;
  readonly holder: string;
  readonly said: string;
  readonly namespace: string;
  readonly cards: readonly JsonValue[];
  readonly host: JsonValue | undefined;
}

/** A driver with its own installation; at the end nothing of that may be left. */
function createLab(size: number) {
  assert.ok(engine.ok);
  const { image } = engine;
  const installation = `holders-${newId('installation')}`;
  const driver = createDockerDriver({ log: silentLogger, networkHolders: { size, image } });
  const spec = (): SandboxSpec => ({
    labels: { ...sandboxLabels(installation), node: 'here' },
    image,
    argv: ['node', '-e', PROGRAM],
    env: {},
    cwd: '/',
    uid: 1000,
    gid: 1000,
    memoryBytes: 256 * 1024 ** 2,
    cpus: 1,
    pids: 64,
    mounts: [],
    tmpBytes: 16 * 1024 ** 2,
  });
  const all = async () => {
    const filters = JSON.stringify({ label: [`cloister.installation=${installation}`] });
    return parseContainers((await raw.call({ method: 'GET', path: '/containers/json', query: { all: 1, filters } })).body);
  };
  const inspect = async (id: string) => {
    const { State: state, HostConfig: host } = asJsonObject((await raw.call({ method: 'GET', path: `/containers/${id}/json` })).body);
    return { status: asJsonObject(state).Status, network: text(asJsonObject(host).NetworkMode) };
  };
  const ready = async (count: number) => {
    // They are made after the first sandbox.
    if (driver.holders.ready() < count) await driver.remove(await driver.create(spec()));
    await waitFor(() => driver.holders.ready() === count, { timeoutMs: 60_000, what: `${count} holders` });
  };
  return {
    driver,
    image,
    installation,
    spec,
    inspect,
    ready,
    holders: async () => (await all()).filter(({ labels }) => labels['cloister.kind'] === 'network-holder'),
    networkOf: async ({ ref }: Opened) => (await inspect(ref.handle)).network.split(':')[0],
    async open(change: (given: SandboxSpec) => SandboxSpec = (given) => given): Promise<Opened> {
      if (driver.holders.ready() === 0) await ready(size);
      const ref = await driver.create(change(spec()));
      const [, holder = ''] = (await inspect(ref.handle)).network.split(':');
      const io = await driver.start(ref);
      io.stderr.resume();
      const [said = ''] = await once(createInterface({ input: io.stdout }), 'line');
      const { namespace, cards, host } = said.startsWith('{') ? asJsonObject(JSON.parse(said)) : {};
      return { ref, holder, said, namespace: text(namespace ?? ''), cards: Array.isArray(cards) ? cards : [], host };
    },
    async visit({ ref }: Opened): Promise<string> {
      const { stdout } = await driver.exec(ref, { argv: ['node', '-e', VISIT] });
      const [line] = await once(createInterface({ input: stdout }), 'line');
      return line;
    },
    /** As a server that died without the engine seeing it leaves one: it runs, and nobody holds it. */
    async leaveHolder(): Promise<string> {
      const { apiVersion } = await raw.address();
      const json = holderBody({ installation, node: 'gone', key: newId('incarnation') }, { image, apiVersion });
      const id = parseId((await raw.call({ method: 'POST', path: '/containers/create', json })).body);
      assert.equal((await raw.call({ method: 'POST', path: `/containers/${id}/start` })).status, 204);
      return id;
    },
    async [Symbol.asyncDispose]() {
      for (const { ref } of await driver.list({ installation })) await driver.remove(ref);
      await driver.close();
      const left = await all();
      for (const { id } of left) await raw.call({ method: 'DELETE', path: `/containers/${id}`, query: { force: 1 } });
      assert.deepEqual(left, [], 'nothing is left behind');
    },
  };
}

function text(value: JsonValue | undefined): string {
  assert.ok(typeof value === 'string');
  return value;
}
