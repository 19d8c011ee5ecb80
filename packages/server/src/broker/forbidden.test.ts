import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { newUnique } from '../base/ids.ts';
import { type JsonObject, toJsonObject } from '../base/json.ts';
import { silentLogger } from '../base/log.ts';
import { sandboxLabels } from '../runtime/conformance/bench.ts';
import { containerBody, containerName } from '../runtime/docker/profile.ts';
import { testEngine } from '../runtime/docker/test-engine.ts';
import type { SandboxSpec } from '../runtime/driver.ts';
import { type Broker, startBroker } from './broker.ts';
import { testPolicy } from './test-broker.ts';

const engine = await testEngine();
const docker = (...args: string[]) => execFileSync('docker', args, { encoding: 'utf8' }).trim();

describe('what the socket broker refuses', { skip: engine.ok ? false : engine.reason }, () => {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'cloister-broker-')));
  const socketPath = path.join(folder, 'engine.sock');
  const dataDir = path.join(folder, 'data');
  const workspace = path.join(dataDir, 'sessions', 'one');
  const installation = `broker-${newUnique()}`;
  const image = engine.ok ? engine.image : '';
  let broker: Broker;
  let foreign = '';
  let stranger = '';
  let own = '';

  const spec = (changes: Partial<SandboxSpec> = {}): SandboxSpec => ({
    labels: sandboxLabels(installation),
    image,
    argv: ['sleep', '600'],
    env: { A: '1' },
    cwd: '/',
    uid: 1000,
    gid: 1000,
    memoryBytes: 128 * 1024 ** 2,
    cpus: 1,
    pids: 64,
    mounts: [{ hostPath: workspace, path: '/workspace', isReadOnly: false }],
    tmpBytes: 16 * 1024 ** 2,
    ...changes,
  });
  const bodyOf = (one: SandboxSpec): JsonObject => toJsonObject(containerBody(one, '1.41'));
  const nameOf = (one: SandboxSpec) => `/v1.41/containers/create?name=${containerName(one.labels)}`;
  const mounting = (hostPath: string) => spec({ mounts: [{ hostPath, path: '/workspace', isReadOnly: false }] });

  before(async () => {
    mkdirSync(workspace, { recursive: true });
    mkdirSync(path.join(folder, 'outside', 'it'), { recursive: true });
    symlinkSync(path.join(folder, 'outside'), path.join(dataDir, 'sessions', 'link'));
    symlinkSync('/', path.join(dataDir, 'sessions', 'root'));
    writeFileSync(path.join(dataDir, 'admin.key'), 'secret');
    broker = await startBroker({
      socketPath,
      pinFile: path.join(folder, 'installation'),
      engine: {},
      hostDataDir: undefined,
      policy: testPolicy({ dataDir }),
      log: silentLogger,
    });
    const first = spec();
    const made = await ask('POST', nameOf(first), bodyOf(first));
    assert.equal(made.status, 201, made.text);
    own = (JSON.parse(made.text) as { Id: string }).Id; // the engine's answer
    // Not ours: without any label, and with another installation's.
    foreign = docker('create', '--network', 'none', image, 'true');
    stranger = docker('create', '--network', 'none', '--label', `cloister.installation=${installation}x`, image, 'true');
  });
  after(async () => {
    await broker?.close();
    docker('rm', '--force', ...[own, foreign, stranger].filter((id) => id !== ''));
    rmSync(folder, { recursive: true });
  });

  function ask(
    method: string,
    url: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; text: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const json = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) };
    const client = http.request({ socketPath, method, path: url, headers: { ...json, ...headers }, agent: false });
    client.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    client.on('upgrade', (_response, socket) => {
      socket.destroy();
      resolve({ status: 101, text: '' });
    });
    client.on('error', reject);
    client.end(text);
    return promise;
  }

  /** Bytes as they are, and the status line of what comes back, or nothing when the connection was closed. */
  function raw(bytes: string): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = net.connect(socketPath, () => socket.write(bytes));
    let seen = '';
    socket.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(seen.split('\r\n')[0] ?? ''));
    return promise;
  }

  async function refused(title: string, method: string, url: string, body?: unknown, headers?: Record<string, string>): Promise<void> {
    const { status, text } = await ask(method, url, body, headers);
    assert.equal(status, 403, `${title}: ${status} ${text.slice(0, 300)}`);
    assert.match((JSON.parse(text) as { message: string }).message, /socket broker refuses/, title); // our own answer
  }

  it('creates that ask for anything else than a sandbox', async () => {
    const host = (changes: object) => ({ HostConfig: changes });
    const cases: readonly (readonly [string, object])[] = [
      ['privileged', host({ Privileged: true })],
      ['a capability', host({ CapAdd: ['SYS_ADMIN'] })],
      ['fewer capabilities dropped', host({ CapDrop: ['NET_RAW'] })],
      ['no seccomp filter', host({ SecurityOpt: ['no-new-privileges:true', 'seccomp=unconfined'] })],
      ['new privileges', host({ SecurityOpt: [] })],
      ["the host's network", host({ NetworkMode: 'host' })],
      ['the default network', host({ NetworkMode: 'default' })],
      ["another container's network", host({ NetworkMode: `container:${foreign}` })],
      ["a sandbox's network", host({ NetworkMode: `container:${own}` })],
      ["the host's processes", host({ PidMode: 'host' })],
      ["the host's IPC", host({ IpcMode: 'host' })],
      ["the host's names", host({ UTSMode: 'host' })],
      ["the host's users", host({ UsernsMode: 'host' })],
      ["the host's control groups", host({ CgroupnsMode: 'host' })],
      ['a control group of choice', host({ CgroupParent: '/' })],
      ['a device', host({ Devices: [{ PathOnHost: '/dev/mem', PathInContainer: '/dev/mem', CgroupPermissions: 'rwm' }] })],
      ['all devices of a kind', host({ DeviceCgroupRules: ['a *:* rwm'] })],
      ['a device by request', host({ DeviceRequests: [{ Count: -1, Capabilities: [['gpu']] }] })],
      ['sysctls', host({ Sysctls: { 'net.ipv4.ip_forward': '1' } })],
      ["another container's volumes", host({ VolumesFrom: [foreign] })],
      ['a bind by the older field', host({ Binds: ['/:/host'] })],
      ['an OCI runtime that is not known', host({ Runtime: 'nvidia' })],
      ['a writable root', host({ ReadonlyRootfs: false })],
      ['unmasked paths', host({ MaskedPaths: [], ReadonlyPaths: [] })],
      ['further groups', host({ GroupAdd: ['0'] })],
      ['no limit on memory', host({ Memory: 0, MemorySwap: 0 })],
      ['too much memory', host({ Memory: 2 ** 40, MemorySwap: 2 ** 40 })],
      ['swap without end', host({ MemorySwap: -1 })],
      ['no limit on processes', host({ PidsLimit: -1 })],
      ['too many CPUs', host({ NanoCpus: 64e9 })],
      ['a restart by the engine', host({ RestartPolicy: { Name: 'always' } })],
      ['a log that leaves the host', host({ LogConfig: { Type: 'syslog', Config: { 'syslog-address': 'tcp://198.51.100.1:514' } } })],
      ['a published port', host({ PortBindings: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '80' }] } })],
      ['a field in other letters', host({ privileged: true })],
      ['root', { User: '0:0' }],
      ['no user', { User: '' }],
      ["the engine's group", { User: '1000:999' }],
      ['another label', { Labels: { ...sandboxLabels(installation), extra: 'x' } }],
      ['a volume', { Volumes: { '/v': {} } }],
      ['a health check', { Healthcheck: { Test: ['CMD', 'true'] } }],
      ['an image by a trick', { Image: '../../x' }],
      ['a platform', { Platform: 'x' }],
      ['a further network', { NetworkingConfig: { EndpointsConfig: { bridge: {} } } }],
    ];
    for (const [title, { HostConfig: hostConfig = {}, ...changes }] of cases as readonly (readonly [string, { HostConfig?: object }])[]) {
      const one = spec();
      const plain = bodyOf(one);
      const body = { ...plain, ...changes, HostConfig: { ...(plain.HostConfig as object), ...hostConfig } }; // an object by its maker
      await refused(title, 'POST', nameOf(one), body);
    }
  });

  it('mounts of anything but the files of sessions', async () => {
    const places = [
      '/',
      '/etc',
      '/var/run/docker.sock',
      '/run/docker.sock',
      dataDir,
      path.join(dataDir, 'admin.key'),
      `${dataDir}/sessions/../..`,
      `${dataDir}/sessions/one/../../../outside`,
      `${dataDir}//sessions/one`,
      `${dataDir}/./sessions/one`,
      path.join(dataDir, 'sessions', 'link'),
      path.join(dataDir, 'sessions', 'link', 'it'),
      path.join(dataDir, 'sessions', 'root', 'etc'),
      path.join(folder, 'outside', 'it'),
      `${dataDir}x/sessions/one`,
      'sessions/one',
      socketPath,
      '',
    ];
    for (const place of places) {
      const one = mounting(place);
      await refused(place, 'POST', nameOf(one), bodyOf(one));
    }
    const one = spec();
    const body = bodyOf(one);
    const mount = { Type: 'volume', Source: 'cloister-data', Target: '/workspace', ReadOnly: false };
    await refused('a volume', 'POST', nameOf(one), { ...body, HostConfig: { ...(body.HostConfig as object), Mounts: [mount] } }); // as above
  });

  it("another installation's labels, names and containers", async () => {
    const other = spec({ labels: sandboxLabels(`${installation}x`) });
    await refused('a container for another installation', 'POST', nameOf(other), bodyOf(other));
    const one = spec();
    await refused('another name', 'POST', '/v1.41/containers/create?name=dockerd', bodyOf(one));
    await refused('no name', 'POST', '/v1.41/containers/create', bodyOf(one));
    await refused('an old field beside it', 'POST', `${nameOf(one)}&platform=x`, bodyOf(one));
    for (const id of [foreign, stranger, foreign.slice(0, 12), docker('inspect', '--format', '{{slice .Name 1}}', foreign)]) {
      for (const verb of ['start', 'stop', 'kill', 'pause', 'unpause', 'wait'])
        await refused(verb, 'POST', `/v1.41/containers/${id}/${verb}`);
      for (const verb of ['json', 'logs', 'stats']) await refused(verb, 'GET', `/v1.41/containers/${id}/${verb}`);
      await refused('remove', 'DELETE', `/v1.41/containers/${id}?force=1&v=1`);
      await refused('exec', 'POST', `/v1.41/containers/${id}/exec`, commandOf());
      await refused('attach', 'POST', `/v1.41/containers/${id}/attach?stream=1`, undefined, { connection: 'Upgrade', upgrade: 'tcp' });
    }
    assert.equal(docker('ps', '--all', '--quiet', '--no-trunc', '--filter', `id=${foreign}`), foreign, 'it is still there');
    const labels = (value: string) => encodeURIComponent(JSON.stringify({ label: [value] }));
    await refused('all containers', 'GET', '/v1.41/containers/json?all=1');
    await refused(
      "another's containers",
      'GET',
      `/v1.41/containers/json?all=1&filters=${labels(`cloister.installation=${installation}x`)}`,
    );
    await refused('containers by another filter', 'GET', `/v1.41/containers/json?filters=${encodeURIComponent('{"status":["running"]}')}`);
    await refused("another's networks", 'GET', `/v1.41/networks?filters=${labels('cloister.service')}`);
    await refused('all events', 'GET', '/v1.41/events');
    await refused('events of images', 'GET', `/v1.41/events?filters=${encodeURIComponent('{"type":["image"]}')}`);
  });

  it('every other call, however it is written', async () => {
    const id = own;
    const calls: readonly (readonly [string, string])[] = [
      ['GET', `/v1.41/containers/${id}/archive?path=/etc`],
      ['PUT', `/v1.41/containers/${id}/archive?path=/`],
      ['GET', `/v1.41/containers/${id}/export`],
      ['GET', `/v1.41/containers/${id}/top`],
      ['POST', `/v1.41/containers/${id}/update`],
      ['POST', `/v1.41/containers/${id}/rename?name=x`],
      ['POST', `/v1.41/containers/${id}/resize`],
      ['POST', `/v1.41/containers/${id}/start?checkpoint=x`],
      ['POST', `/v1.41/containers/${id}/kill?signal=9`],
      ['POST', `/v1.41/commit?container=${id}`],
      ['POST', '/v1.41/containers/prune'],
      ['POST', '/v1.41/build'],
      ['POST', '/v1.41/images/create?fromImage=x'],
      ['POST', '/v1.41/images/load'],
      ['DELETE', '/v1.41/images/node'],
      ['GET', '/v1.41/images/json'],
      ['POST', '/v1.41/volumes/create'],
      ['GET', '/v1.41/volumes'],
      ['POST', '/v1.41/networks/bridge/connect'],
      ['GET', '/v1.41/networks/bridge'],
      ['DELETE', '/v1.41/networks/bridge'],
      ['POST', '/v1.41/swarm/init'],
      ['GET', '/v1.41/secrets'],
      ['POST', '/v1.41/plugins/pull'],
      ['POST', '/v1.41/session'],
      ['POST', '/v1.41/grpc'],
      ['POST', '/v1.41/auth'],
      ['GET', '/v1.41/system/df'],
      ['GET', '/v1.12/containers/json'],
      ['GET', '/v1.41/v1.41/info'],
      ['GET', '/v1.41/_ping/../info'],
      ['GET', '/v1.41//info'],
      ['GET', '/v1.41/%69nfo'],
      ['GET', `/v1.41/containers/../containers/${foreign}/json`],
      ['GET', `/v1.41/containers/${foreign}%2fjson/json`],
      ['GET', '/v1.41/images/..%2f..%2finfo/json'],
      ['GET', '/v1.41/images/a%00/json'],
      ['GET', '/libpod/info'],
      ['HEAD', '/_ping'],
      ['OPTIONS', '/info'],
      ['GET', '/v1.41/info?x=1'],
      ['GET', `/v1.41/exec/${'0'.repeat(64)}/resize`],
    ];
    for (const [method, url] of calls) {
      const { status, text } = await ask(method, url);
      assert.equal(status, 403, `${method} ${url}: ${status} ${text.slice(0, 200)}`);
    }
    await refused('a body where there is none', 'POST', `/v1.41/containers/${id}/start`, { HostConfig: { Privileged: true } });
    await refused('a privileged command', 'POST', `/v1.41/containers/${id}/exec`, { ...commandOf(), Privileged: true });
    await refused("root's command", 'POST', `/v1.41/containers/${id}/exec`, { ...commandOf(), User: '0' });
    await refused('an attach without the raw connection', 'POST', `/v1.41/containers/${id}/attach?stream=1`);
    await refused('a raw connection elsewhere', 'GET', '/v1.41/info', undefined, { connection: 'Upgrade', upgrade: 'h2c' });
    await refused('no JSON', 'POST', nameOf(spec()), '{');
    await refused('a huge body', 'POST', nameOf(spec()), JSON.stringify({ Image: 'x'.repeat(1024 * 1024) }));
    const headers = { 'content-type': 'text/plain' };
    await refused('another type', 'POST', nameOf(spec()), bodyOf(spec()), headers);
  });

  it('bytes that two parsers could read in two ways', async () => {
    const second = 'POST /v1.41/containers/prune HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n';
    const both = await raw(
      `POST /v1.41/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${second}`,
    );
    assert.match(both, /^(HTTP\/1\.1 4\d\d .*)?$/);
    const chunked = await raw(
      'POST /v1.41/containers/create?name=x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    );
    assert.match(chunked, /^HTTP\/1\.1 403 /);
    const twoLengths = await raw(
      `POST /v1.41/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 80\r\n\r\n${second}`,
    );
    assert.match(twoLengths, /^(HTTP\/1\.1 4\d\d .*)?$/);
    const long = await raw(`GET /v1.41/info HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`);
    assert.match(long, /^(HTTP\/1\.1 4\d\d .*)?$/);
    const absolute = await raw('GET http://docker/v1.41/info HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.match(absolute, /^HTTP\/1\.1 403 /);
    const nothing = await raw('GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.match(nothing, /^HTTP\/1\.1 200 /, 'and a plain call is answered');
  });

  it('a mount that was swapped for a symlink before the start', async () => {
    const place = path.join(dataDir, 'sessions', 'swapped');
    mkdirSync(place);
    const one = mounting(place);
    const made = await ask('POST', nameOf(one), bodyOf(one));
    assert.equal(made.status, 201, made.text);
    const { Id: id } = JSON.parse(made.text) as { Id: string }; // the engine's answer
    try {
      rmSync(place, { recursive: true });
      symlinkSync('/', place);
      await refused('the start', 'POST', `/v1.41/containers/${id}/start`);
    } finally {
      docker('rm', '--force', id);
    }
  });

  it('tells of the host only what is asked for', async () => {
    const info = JSON.parse((await ask('GET', '/v1.41/info')).text) as Record<string, unknown>; // our own answer
    for (const name of ['DockerRootDir', 'RegistryConfig', 'HttpProxy', 'Swarm', 'Containers']) assert.equal(info[name], undefined, name);
    assert.equal((await ask('GET', `/v1.41/containers/${own}/json`)).status, 200);
  });
});

function commandOf(): object {
  return { AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: false, Cmd: ['id'], Env: [] };
}
