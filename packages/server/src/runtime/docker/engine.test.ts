import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { isPlatformError } from '../../base/errors.ts';
import { silentLogger } from '../../base/log.ts';
import { createDockerDriver } from './driver.ts';
import { endpointCandidates, parseEndpoint } from './endpoint.ts';
import { createEngine } from './engine.ts';
import { watchExit } from './exit.ts';
import { explainConnection } from './failures.ts';
import { answerJson, startScriptedEngine } from './scripted-engine.ts';
import { sleepPower } from './sleep.ts';
import { watchContainers } from './watch.ts';

const unreachableWith = (words: RegExp) => (error: unknown) => isPlatformError(error, 'runtime_unreachable') && words.test(error.detail);

test('endpoints are read as DOCKER_HOST writes them, and others are refused by name', () => {
  assert.deepEqual(parseEndpoint('unix:///run/user/1000/docker.sock'), { type: 'unix', socketPath: '/run/user/1000/docker.sock' });
  assert.deepEqual(parseEndpoint('tcp://127.0.0.1:2375'), { type: 'tcp', host: '127.0.0.1', port: 2375 });
  assert.deepEqual(parseEndpoint('tcp://engine:99'), { type: 'tcp', host: 'engine', port: 99 });
  for (const text of ['ssh://me@host', 'unix://relative', '/var/run/docker.sock', 'tcp://', 'https://host:2376'])
    assert.throws(
      () => parseEndpoint(text),
      (error) => isPlatformError(error, 'config_invalid') && error.detail.includes(text),
    );
});

test('a missing, a dead and a forbidden socket are told apart, each with what to do', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cloister-engine-'));
  try {
    const missing = createEngine({ endpoint: `unix://${folder}/none.sock`, clock: systemClock });
    await assert.rejects(
      missing.call({ method: 'GET', path: '/info' }),
      unreachableWith(/no container engine socket.*none\.sock.*DOCKER_HOST/),
    );
    const server = net.createServer();
    await new Promise<void>((resolve) => void server.listen(`${folder}/a.sock`, resolve));
    renameSync(`${folder}/a.sock`, `${folder}/dead.sock`);
    await new Promise((resolve) => server.close(resolve));
    const dead = createEngine({ endpoint: `unix://${folder}/dead.sock`, clock: systemClock });
    await assert.rejects(dead.call({ method: 'GET', path: '/info' }), unreachableWith(/not running.*systemctl start docker/));
  } finally {
    rmSync(folder, { recursive: true });
  }
  const refusal = Object.assign(new Error('connect EACCES'), { code: 'EACCES' });
  const { detail, fix } = explainConnection({ type: 'unix', socketPath: '/var/run/docker.sock' }, refusal, 'docker');
  assert.match(`${detail} ${fix}`, /may not use.*docker\.sock.*usermod -aG docker/);
});

test('the probe never throws and says what to do', async () => {
  const driver = createDockerDriver({ endpoint: 'unix:///nowhere/engine.sock', log: silentLogger });
  const probe = await driver.probe();
  assert.ok(!probe.ok && probe.detail.includes('/nowhere/engine.sock') && probe.fix !== '');
  await driver.close();
});

test('what is no engine, or too old a one, is named as such', async () => {
  await using old = await startScriptedEngine({ apiVersion: '1.24' });
  await assert.rejects(old.docker.engine.address(), unreachableWith(/API 1\.24.*Upgrade/));
  await using odd = await startScriptedEngine({ answer: (_request, response) => answerJson(response, 200, { Surprise: true }) });
  const driver = createDockerDriver({ endpoint: odd.endpoint, log: silentLogger });
  const probe = await driver.probe();
  assert.ok(!probe.ok && /not understood/.test(probe.detail));
  await driver.close();
});

test("calls use the engine's own API version, but none newer than ours", async () => {
  for (const [offered, used] of [
    ['1.41', '1.41'],
    ['1.99', '1.51'],
  ] as const) {
    await using scripted = await startScriptedEngine({ apiVersion: offered });
    await scripted.docker.engine.call({ method: 'GET', path: '/info' });
    assert.deepEqual(scripted.requests, ['GET /_ping', `GET /v${used}/info`]);
  }
});

test('a silent engine is given up at the deadline, and at once on abort', async () => {
  await using scripted = await startScriptedEngine({ deadlineMs: 150, answer: () => undefined });
  const { engine } = scripted.docker;
  await assert.rejects(engine.call({ method: 'GET', path: '/info' }), unreachableWith(/did not finish "GET \/info"/));
  await assert.rejects(engine.open({ method: 'GET', path: '/events' }), unreachableWith(/did not finish/));
  await assert.rejects(engine.hijack({ method: 'POST', path: '/containers/x/attach' }), unreachableWith(/did not finish/));
  const controller = new AbortController();
  const reason = new Error('enough');
  const call = engine.call({ method: 'GET', path: '/info', signal: controller.signal, deadlineMs: 60_000 });
  controller.abort(reason);
  await assert.rejects(call, reason);
});

test('a kept connection that the engine closed is not an error', async () => {
  const served = new WeakMap<object, number>();
  await using scripted = await startScriptedEngine({
    answer(request, response) {
      const count = (served.get(request.socket) ?? 0) + 1;
      served.set(request.socket, count);
      if (count > 1) return void request.socket.destroy();
      answerJson(response, 200, {});
    },
  });
  for (let n = 0; n < 3; n += 1) assert.equal((await scripted.docker.engine.call({ method: 'GET', path: '/info' })).status, 200);
});

test('an attach has no body at all', async () => {
  const seen: (string | undefined)[] = [];
  await using scripted = await startScriptedEngine({
    answer(request, response) {
      seen.push(request.headers['content-length'], request.headers['transfer-encoding']);
      answerJson(response, 404, { message: 'No such container: x' });
    },
  });
  const refused = await scripted.docker.engine.hijack({ method: 'POST', path: '/containers/x/attach' });
  assert.deepEqual(refused, { type: 'refused', status: 404, message: 'No such container: x' });
  assert.ok(seen[0] === undefined || seen[0] === '0', 'no body is announced');
  assert.equal(seen[1], undefined);
});

test('the event stream is followed again after it breaks, without telling an exit twice', async () => {
  const names = ['installation', 'tenant', 'agent', 'session', 'sandbox', 'incarnation'];
  const labels = (id: string) => Object.fromEntries(names.map((name) => [`cloister.${name}`, `${name}-${id}`]));
  const died = (id: string, timeNano: number) =>
    `${JSON.stringify({ Action: 'die', Actor: { ID: id, Attributes: { ...labels(id), exitCode: '3' } }, timeNano })}\n`;
  const now = systemClock.now() * 1e6 + 1e9;
  let streams = 0;
  await using scripted = await startScriptedEngine({
    answer(request, response) {
      if (!request.url?.includes('/events')) return answerJson(response, 404, { message: 'gone' });
      streams += 1;
      response.write(died('a', now));
      if (streams === 1) return void response.write('{"Action":"di', () => request.socket.destroy());
      response.write(died('b', now + 1));
    },
  });
  const seen: string[] = [];
  const controller = new AbortController();
  const onExit = ({ ref, report }: Parameters<Parameters<typeof watchContainers>[2]['onExit']>[0]) => {
    seen.push(`${ref.incarnation} ${report.exitCode}`);
    if (ref.incarnation === 'incarnation-b') controller.abort();
  };
  await watchContainers(scripted.docker, 'x', { onExit, signal: controller.signal });
  assert.deepEqual(seen, ['incarnation-a 3', 'incarnation-b 3']);
});

test('an exit is learned although the connection broke meanwhile', async () => {
  const state = { Status: 'exited', Running: false, ExitCode: 3, OOMKilled: false };
  await using scripted = await startScriptedEngine({
    answer(request, response) {
      if (!request.url?.includes('/wait'))
        return answerJson(response, 200, { Id: 'x', Created: '2026-01-01T00:00:00Z', State: state, Config: {} });
      response.flushHeaders();
      response.write(' ', () => request.socket.destroy());
    },
  });
  const exit = watchExit(scripted.docker, 'x', new AbortController().signal);
  await exit.registered;
  assert.deepEqual(await exit.exited, { exitCode: 3, signal: null, isOutOfMemory: false });
});

test('the usual sockets of each engine are tried, the user’s own before others', () => {
  const paths = (kind: 'docker' | 'podman') =>
    endpointCandidates({ kind, runtimeDir: '/run/user/7' }).map((endpoint) => (endpoint.type === 'unix' ? endpoint.socketPath : ''));
  const uid = process.getuid?.();
  assert.deepEqual(paths('podman'), ['/run/user/7/podman/podman.sock', `/run/user/${uid}/podman/podman.sock`, '/run/podman/podman.sock']);
  assert.deepEqual(paths('docker').slice(0, 2), ['/var/run/docker.sock', '/run/user/7/docker.sock']);
  assert.ok(paths('docker').some((one) => one.endsWith('.docker/run/docker.sock')));
});

test('an engine from before the oldest version we speak is refused with its own fix', async () => {
  await using old = await startScriptedEngine({ apiVersion: '1.40', server: 'Docker/19.03.15' });
  await assert.rejects(old.docker.engine.address(), unreachableWith(/Docker .*API 1\.40; at least 1\.41.*Upgrade Docker to 20\.10/));
  await using podman = await startScriptedEngine({
    apiVersion: '1.40',
    server: 'a proxy',
    answer: (_request, response) => answerJson(response, 200, { Components: [{ Name: 'Podman Engine' }] }),
  });
  await assert.rejects(podman.docker.engine.address(), unreachableWith(/Podman .*Upgrade Podman to 4\.0/));
});

test('a container that went while Podman was looking is missing, and no failure', async () => {
  const words = 'container 0a1b does not exist in database: no such container';
  await using podman = await startScriptedEngine({
    server: 'a proxy',
    answer: ({ url = '' }, response) =>
      url === '/version'
        ? answerJson(response, 200, { Components: [{ Name: 'Podman Engine' }] })
        : answerJson(response, 500, { message: url.endsWith('/x/json') ? words : 'database is locked' }),
  });
  const driver = createDockerDriver({ endpoint: podman.endpoint, log: silentLogger });
  assert.equal(await driver.inspect({ sandbox: 'sbx_1', incarnation: 'inc_1', handle: 'x' }), undefined);
  await assert.rejects(driver.inspect({ sandbox: 'sbx_2', incarnation: 'inc_2', handle: 'y' }), unreachableWith(/status 500/));
  await driver.close();
});

test('a freeze that was given up is tried again, and not for ever', async () => {
  let pauses = 0;
  let failures = 2;
  const running = { Id: 'x', Created: '2026-01-01T00:00:00Z', State: { Status: 'running', Running: true, ExitCode: 0 }, Config: {} };
  await using scripted = await startScriptedEngine({
    answer({ url = '' }, response) {
      if (!url.endsWith('/pause')) return answerJson(response, 200, running);
      pauses += 1;
      if (pauses <= failures) answerJson(response, 500, { message: 'OCI runtime pause failed: unable to freeze: unknown' });
      else response.writeHead(204).end();
    },
  });
  const { pause } = sleepPower(scripted.docker);
  const ref = { sandbox: 'sbx_1', incarnation: 'inc_1', handle: 'x' };
  await pause(ref);
  assert.equal(pauses, 3);
  failures = Number.POSITIVE_INFINITY;
  await assert.rejects(pause(ref), unreachableWith(/pause a sandbox/));
  assert.equal(pauses, 6);
});
