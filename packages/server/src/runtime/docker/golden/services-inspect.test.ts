import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { newId } from '../../../base/ids.ts';
import { asJsonObject, type JsonObject, type JsonValue } from '../../../base/json.ts';
import { silentLogger } from '../../../base/log.ts';
import type { ServiceSpec } from '../../services.ts';
import { createDockerDriver } from '../driver.ts';
import { createEngine } from '../engine.ts';
import { networkName } from '../service-profile.ts';
import { RELAY_PROGRAM } from '../service-relay-program.ts';
import { testEngine } from '../test-engine.ts';
import { comparable, differences } from './inspect.ts';

/** `UPDATE_GOLDEN=1` writes what is found, to be read before it is committed. */
const FILE = path.join(import.meta.dirname, 'service.json');

const engine = await testEngine();

test('the containers and the network of a service are the expected ones, field by field', {
  skip: engine.ok ? false : engine.reason,
  timeout: 120_000,
}, async () => {
  assert.ok(engine.ok);
  const { image } = engine;
  const directory = mkdtempSync(path.join(tmpdir(), 'cloister-golden-'));
  const driver = createDockerDriver({ log: silentLogger, relayImage: image });
  const raw = createEngine({ clock: systemClock });
  try {
    for (const name of ['data', 'port']) mkdirSync(path.join(directory, name));
    const found = Object.fromEntries(
      await Promise.all(
        ([false, true] as const).map(async (mayReachOut) => [
          mayReachOut ? 'unrestricted' : 'closed',
          await parts(serviceSpec(directory, image, mayReachOut)),
        ]),
      ),
    );
    const { service, network } = asJsonObject(found.closed);
    // One that may reach out has no relays.
    const seen = {
      closed: found.closed,
      unrestricted: differences({ service: service ?? null, network: network ?? null }, found.unrestricted),
    };
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(FILE, `${JSON.stringify(seen, null, 2)}\n`);
    assert.deepEqual(seen, JSON.parse(readFileSync(FILE, 'utf8')));
  } finally {
    await driver.close();
    raw.close();
    rmSync(directory, { recursive: true });
  }

  async function parts(spec: ServiceSpec): Promise<JsonObject> {
    const { services } = driver;
    assert.ok(services !== undefined);
    const ref = await services.create(spec);
    const owner = { installation: spec.labels.installation, service: spec.labels.service };
    try {
      const get = async (place: string) => asJsonObject((await raw.call({ method: 'GET', path: place })).body);
      const service = await get(`/containers/${ref.handle}/json`);
      const inner = await get(`/containers/${ref.handle}-inner/json`);
      const outer = await get(`/containers/${ref.handle}-outer/json`);
      const all = spec.mayReachOut ? { service } : { service, inner, outer };
      if (spec.mayReachOut) assert.deepEqual([inner.Id, outer.Id], [undefined, undefined]);
      const ofImage = asJsonObject((await get(`/images/${image}/json`)).Config);
      const names = {
        [JSON.stringify(RELAY_PROGRAM).slice(1, -1)]: '<program>',
        ...(typeof inner.Id === 'string' ? { [inner.Id]: '<inner>' } : {}),
        // The engine's default, in place of which the container has the inner relay's once it runs.
        ...(typeof service.Id === 'string' ? { [service.Id.slice(0, 12)]: '<id>' } : {}),
        [ref.handle]: '<name>',
        [networkName(spec.labels)]: '<network>',
        [directory]: '<directory>',
        [spec.labels.installation]: '<installation>',
        [spec.labels.incarnation]: '<incarnation>',
        [spec.labels.service]: '<service>',
        [`"${image}"`]: '"<image>"',
      };
      const containers = Object.entries(all).map(([name, one]) => [name, shown(comparable(one, names), ofImage)]);
      const network = await get(`/networks/${networkName(spec.labels)}`);
      // Which of its range it got is the engine's matter.
      const text = JSON.stringify(network.IPAM).replace(/198\.19\.\d+\.\d+/g, '198.19.x.y');
      const { Driver, EnableIPv6, Internal, Options } = network;
      const shape: JsonObject = { Driver, EnableIPv6, Internal, Options } as JsonObject; // of what the engine sent
      return { ...Object.fromEntries(containers), network: { ...shape, IPAM: JSON.parse(text) as JsonValue } };
    } finally {
      await services.remove(ref);
      await services.forget(owner);
    }
  }
});

function serviceSpec(directory: string, image: string, mayReachOut: boolean): ServiceSpec {
  return {
    labels: { installation: newId('installation'), tenant: 'golden', service: newId('service'), incarnation: newId('incarnation') },
    image,
    argv: ['sleep', '600'],
    env: { GOLDEN: '1' },
    uid: 1000,
    memoryBytes: 128 * 1024 ** 2,
    cpus: 0.5,
    pids: 50,
    tmpBytes: 16 * 1024 ** 2,
    mounts: [{ hostPath: path.join(directory, 'data'), path: '/data', isReadOnly: false }],
    port: { inside: 8080, host: 19_998, address: '127.0.0.1' },
    mayReachOut,
    relayDirectory: path.join(directory, 'port'),
  };
}

/** Without what the image brings, and what grows with the engine's version. */
function shown(inspect: JsonObject, ofImage: JsonObject): JsonObject {
  const { HostConfig, Config, Path, Args } = inspect;
  const { MaskedPaths: _masked, ReadonlyPaths: _readonly, ...host } = asJsonObject(HostConfig);
  const config = asJsonObject(Config);
  const ofImageEnv = Array.isArray(ofImage.Env) ? ofImage.Env : [];
  const env = Array.isArray(config.Env) ? config.Env.filter((one: JsonValue) => !ofImageEnv.includes(one)) : [];
  const labels = Object.entries(asJsonObject(config.Labels)).filter(([name]) => name.startsWith('cloister.'));
  const own = labels.filter(([name]) => !Object.hasOwn(asJsonObject(ofImage.Labels), name));
  return { Path: Path ?? null, Args: Args ?? [], Config: { ...config, Env: env, Labels: Object.fromEntries(own) }, HostConfig: host };
}
