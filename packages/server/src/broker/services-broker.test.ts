import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { newId, newUnique } from '../base/ids.ts';
import { type JsonObject, toJsonObject } from '../base/json.ts';
import { silentLogger } from '../base/log.ts';
import { createDockerDriver, type DockerDriver } from '../runtime/docker/driver.ts';
import { createEngine, type Engine } from '../runtime/docker/engine.ts';
import { networkName, serviceBody, serviceContainerName } from '../runtime/docker/service-profile.ts';
import { relayBody, relayName } from '../runtime/docker/service-relay.ts';
import { testEngine } from '../runtime/docker/test-engine.ts';
import type { ServiceRef, ServiceRuntime, ServiceSpec } from '../runtime/services.ts';
import { type Broker, startBroker } from './broker.ts';
import { testPolicy } from './test-broker.ts';

const engine = await testEngine();
const docker = (...args: string[]) => execFileSync('docker', args, { encoding: 'utf8' }).trim();

describe('what the socket broker lets a service be', { skip: engine.ok ? false : engine.reason, timeout: 120_000 }, () => {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'cloister-broker-')));
  const socketPath = path.join(folder, 'engine.sock');
  const dataDir = path.join(folder, 'data');
  const installation = `broker-${newUnique()}`;
  const image = engine.ok ? engine.image : '';
  let broker: Broker;
  let driver: DockerDriver;
  let brokered: Engine;
  let services: ServiceRuntime;
  const made: ServiceRef[] = [];

  const spec = (changes: Partial<ServiceSpec> = {}): ServiceSpec => {
    const service = newId('service');
    return {
      labels: { installation, tenant: 'tnt', service, incarnation: newId('incarnation') },
      image,
      argv: ['sleep', '600'],
      env: {},
      uid: 1000,
      memoryBytes: 64 * 1024 ** 2,
      cpus: 0.5,
      pids: 50,
      tmpBytes: 16 * 1024 ** 2,
      mounts: [],
      port: { inside: 8080, host: 19_990, address: '127.0.0.1' },
      mayReachOut: false,
      relayDirectory: path.join(dataDir, 'services', 'port'),
      ...changes,
    };
  };
  const ask = (name: string, json: object) => brokered.call({ method: 'POST', path: '/containers/create', query: { name }, json });
  const refuses = async (title: string, name: string, json: object, why: RegExp) => {
    const answer = await ask(name, json);
    assert.equal(answer.status, 403, `${title}: ${answer.status} ${answer.message}`);
    assert.match(answer.message, why, title);
  };

  before(async () => {
    mkdirSync(path.join(dataDir, 'services', 'port'), { recursive: true });
    broker = await startBroker({
      socketPath,
      pinFile: undefined,
      engine: {},
      hostDataDir: undefined,
      policy: testPolicy({ dataDir }),
      log: silentLogger,
    });
    driver = createDockerDriver({ endpoint: `unix://${socketPath}`, log: silentLogger, relayImage: image });
    await driver.probe();
    brokered = createEngine({ endpoint: `unix://${socketPath}`, clock: systemClock });
    assert.ok(driver.services !== undefined);
    services = driver.services;
  });
  after(async () => {
    for (const ref of made) {
      await services.remove(ref);
      await services.forget({ installation, service: ref.service });
    }
    await driver.close();
    brokered.close();
    await broker.close();
    rmSync(folder, { recursive: true });
  });

  it('makes its relays and itself in their one shape, twice as once', async () => {
    const one = spec();
    const ref = await services.create(one);
    made.push(ref);
    assert.deepEqual(await services.create(one), ref);
    const [seen, ...others] = await services.list({ installation });
    assert.deepEqual([seen?.ref, seen?.state, others], [ref, 'created', []]);
    const mode = docker('inspect', '--format', '{{.HostConfig.NetworkMode}}', ref.handle);
    assert.equal(mode, `container:${docker('inspect', '--format', '{{.Id}}', relayName(ref.handle, 'inner'))}`);
  });

  it('refuses relays that are anything else', async () => {
    const one = spec();
    const name = serviceContainerName(one.labels);
    for (const side of ['inner', 'outer'] as const) {
      const plain = toJsonObject(relayBody(one, { side, image, apiVersion: '1.41' }));
      const host = plain.HostConfig as JsonObject; // by its maker
      const entry = plain.Entrypoint as string[]; // as above
      const cases: readonly (readonly [string, object, RegExp])[] = [
        ['another program', { Entrypoint: entry.with(3, 'process.exit()') }, /Entrypoint\[3\]/],
        ['another way', { Entrypoint: entry.with(4, '0.0.0.0:22') }, /Entrypoint\[4\]/],
        ['further arguments', { Entrypoint: [...entry, '127.0.0.1:80'] }, /Entrypoint/],
        ['a variable', { Env: ['NODE_OPTIONS=--require=/x'] }, /Env/],
        ["the host's network", { HostConfig: { ...host, NetworkMode: 'host' } }, /NetworkMode/],
        ['the default network', { HostConfig: { ...host, NetworkMode: 'bridge' } }, /NetworkMode/],
        ['a second mount', { HostConfig: { ...host, Mounts: [...(host.Mounts as object[]), ...(host.Mounts as object[])] } }, /Mounts/], // as above
        ['a user of choice', { User: '0:0' }, /User/],
        ['capabilities', { HostConfig: { ...host, CapDrop: [] } }, /CapDrop/],
        ['names that are answered', { HostConfig: { ...host, Dns: ['8.8.8.8'] } }, /Dns/],
        ['a further label', { Labels: { ...(plain.Labels as object), more: 'x' } }, /Labels/], // as above
        ['the other side', { Labels: { ...(plain.Labels as object), 'cloister.relay': 'both' } }, /neither inner nor outer/], // as above
      ];
      for (const [title, changes, why] of cases) await refuses(`${side}: ${title}`, relayName(name, side), { ...plain, ...changes }, why);
      await refuses(`${side}: another name`, name, plain, /name is not the one/);
      const outside = { ...one, relayDirectory: '/etc' };
      await refuses(`${side}: another directory`, relayName(name, side), relayBody(outside, { side, image, apiVersion: '1.41' }), /mount/);
    }
    const wide = { ...one, port: { ...one.port, address: '0.0.0.0' } };
    const low = { ...one, port: { ...one.port, host: 80 } };
    for (const [bad, why] of [
      [wide, /127\.0\.0\.1 only/],
      [low, /HostPort/],
    ] as const)
      await refuses('a port of choice', relayName(name, 'outer'), relayBody(bad, { side: 'outer', image, apiVersion: '1.41' }), why);
    const elsewhere = spec({ labels: { ...one.labels, installation: 'other' } });
    await refuses(
      "another installation's",
      relayName(serviceContainerName(elsewhere.labels), 'inner'),
      relayBody(elsewhere, { side: 'inner', image, apiVersion: '1.41' }),
      /another installation/,
    );
  });

  it('refuses a service every network but that of its own relay, or its own', async () => {
    const [first] = made;
    assert.ok(first !== undefined);
    const its = docker('inspect', '--format', '{{.Id}}', relayName(first.handle, 'inner'));
    const outer = docker('inspect', '--format', '{{.Id}}', relayName(first.handle, 'outer'));
    const foreign = docker('create', '--network', 'none', image, 'true');
    try {
      const one = spec();
      const name = serviceContainerName(one.labels);
      const joining = (id: string) => serviceBody(one, '1.41', id);
      const why = /does not name the service's own relay/;
      await refuses("another service's relay", name, joining(its), why);
      await refuses('one that publishes', name, joining(outer), why);
      await refuses("somebody else's", name, joining(foreign), why);
      await refuses('one that is not there', name, joining('0'.repeat(64)), why);
      await refuses('one by its name', name, joining(relayName(first.handle, 'inner')), why);
      const open = toJsonObject(serviceBody({ ...one, mayReachOut: true }, '1.41'));
      const host = open.HostConfig as JsonObject; // by its maker
      for (const NetworkMode of ['host', 'bridge', networkName({ installation, service: first.service })])
        await refuses(NetworkMode, name, { ...open, HostConfig: { ...host, NetworkMode } }, /NetworkMode/);
    } finally {
      docker('rm', '--force', foreign);
    }
  });
});
