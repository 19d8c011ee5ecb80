import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { waitFor } from '../../../../test/support/wait-for.ts';
import { systemClock } from '../../../base/clock.ts';
import { newId } from '../../../base/ids.ts';
import { asJsonObject, type JsonObject, type JsonValue } from '../../../base/json.ts';
import { silentLogger } from '../../../base/log.ts';
import type { SandboxSpec } from '../../driver.ts';
import { createDockerDriver } from '../driver.ts';
import { createEngine } from '../engine.ts';
import { testEngine } from '../test-engine.ts';
import { parseContainers, parseNetworkHolder } from '../wire.ts';
import { comparable, differences } from './inspect.ts';
import { LABELS } from './policies.ts';

/** `UPDATE_GOLDEN=1` writes what is found, to be read before it is committed. */
const FILE = path.join(import.meta.dirname, 'holder.json');

const engine = await testEngine();
const raw = createEngine({ clock: systemClock });
after(() => raw.close());

test('a sandbox with a holder differs in its network alone, and one that has lost it in nothing', {
  skip: engine.ok ? false : engine.reason,
  timeout: 120_000,
}, async () => {
  assert.ok(engine.ok);
  const { image } = engine;
  const installation = newId('installation');
  const spec = (): SandboxSpec => ({
    labels: { ...LABELS, installation, incarnation: newId('incarnation') },
    image,
    argv: ['sleep', '3600'],
    env: { GOLDEN: '1' },
    cwd: '/tmp',
    uid: 1000,
    gid: 1000,
    memoryBytes: 128 * 1024 ** 2,
    cpus: 0.5,
    pids: 50,
    mounts: [],
    tmpBytes: 16 * 1024 ** 2,
  });
  const [plain, holding] = [
    createDockerDriver({ log: silentLogger }),
    createDockerDriver({ log: silentLogger, networkHolders: { size: 1, image } }),
  ];
  const inspect = async (name: string) => asJsonObject((await raw.call({ method: 'GET', path: `/containers/${name}/json` })).body);
  const seen = async (name: string, incarnation: string, holder = '') => {
    const body = await inspect(name);
    const id = text(body.Id);
    const names = {
      [holder === '' ? id : holder]: '<holder>',
      [id]: '<id>',
      [id.slice(0, 12)]: '<short id>',
      [text(body.Name)]: '/<name>',
      [incarnation]: '<incarnation>',
      [text(asJsonObject(asJsonObject(body.Config).Labels)['cloister.spec'])]: '<spec>',
      [installation]: '<installation>',
    };
    // Without the addresses of the namespace, of which each has others.
    const { NetworkSettings: _network, ...rest } = comparable(body, names);
    return rest;
  };
  try {
    const usual = spec();
    const reference = await plain.create(usual);
    const before = await seen(reference.handle, usual.labels.incarnation);

    await holding.remove(await holding.create(spec()));
    await waitFor(() => holding.holders.ready() === 1, { timeoutMs: 60_000, what: 'a holder' });
    const held = spec();
    const ref = await holding.create(held);
    const holder = parseNetworkHolder(await inspect(ref.handle)) ?? '';
    assert.deepEqual(differences(before, await seen(ref.handle, held.labels.incarnation, holder)), {
      '/Config/Hostname': '<short id>',
      '/HostConfig/NetworkMode': 'container:<holder>',
    });

    await assertHolder(await inspect(holder), { installation, image });

    await raw.call({ method: 'DELETE', path: `/containers/${holder}`, query: { force: 1 } });
    // By a driver that has only the engine's word for what the container is.
    for (const created of [reference, ref]) {
      const io = await plain.start(created);
      io.stdout.resume();
      io.stderr.resume();
    }
    const [lost, own] = [await seen(ref.handle, held.labels.incarnation), await seen(reference.handle, usual.labels.incarnation)];
    assert.deepEqual(differences(own, lost), {});
  } finally {
    for (const { ref } of await plain.list({ installation })) await plain.remove(ref);
    await holding.close();
    await plain.close();
    const filters = JSON.stringify({ label: [`cloister.installation=${installation}`] });
    const left = parseContainers((await raw.call({ method: 'GET', path: '/containers/json', query: { all: 1, filters } })).body);
    assert.deepEqual(left, []);
  }
});

/** The holder's own container, field by field. */
async function assertHolder(body: JsonObject, { installation, image }: { readonly installation: string; readonly image: string }) {
  const ofImage = asJsonObject(asJsonObject((await raw.call({ method: 'GET', path: `/images/${image}/json` })).body).Config);
  const config = asJsonObject(body.Config);
  const labels = asJsonObject(config.Labels);
  const own = Object.fromEntries(Object.entries(labels).filter(([name]) => name.startsWith('cloister.')));
  // What the image brings is the image's; nothing is added to it.
  assert.deepEqual(config.Env, ofImage.Env);
  const { Env: _env, ...rest } = config;
  const id = text(body.Id);
  const names = {
    [id]: '<id>',
    [text(labels['cloister.holder'])]: '<key>',
    [installation]: '<installation>',
    [text(body.Image)]: '<image id>',
    [image]: '<image>',
  };
  const { HostConfig, Config, Path, Args } = comparable({ ...body, Config: { ...rest, Labels: own } }, names);
  // Which paths are hidden grows with the engine's version.
  const { MaskedPaths: _masked, ReadonlyPaths: _readonly, ...host } = asJsonObject(HostConfig);
  const found = { Path: Path ?? null, Args: Args ?? [], Config: Config ?? null, HostConfig: host };
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(FILE, `${JSON.stringify(found, null, 2)}\n`);
  assert.deepEqual(found, JSON.parse(readFileSync(FILE, 'utf8')));
}

function text(value: JsonValue | undefined): string {
  assert.ok(typeof value === 'string');
  return value;
}
