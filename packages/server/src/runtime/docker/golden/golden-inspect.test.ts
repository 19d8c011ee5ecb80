import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { newId } from '../../../base/ids.ts';
import { asJsonObject, type JsonObject, type JsonValue } from '../../../base/json.ts';
import { silentLogger } from '../../../base/log.ts';
import { sandboxUser } from '../../../sandboxes/directories.ts';
import { buildSpec } from '../../../sandboxes/spec.ts';
import type { SandboxSpec } from '../../driver.ts';
import { createDockerDriver } from '../driver.ts';
import { createEngine } from '../engine.ts';
import { testEngine } from '../test-engine.ts';
import { comparable, differences } from './inspect.ts';
import { LABELS, type Policy, policies } from './policies.ts';

/** `UPDATE_GOLDEN=1` writes what is found, to be read before it is committed. */
const FILE = path.join(import.meta.dirname, 'expected.json');

interface Golden {
  /** The whole container of the policy `default`. */
  readonly default: JsonObject;
  /** Policy → all in which its container is otherwise. */
  readonly policies: Readonly<Record<string, JsonObject>>;
}

const engine = await testEngine();

test('the container of every policy is the expected one, field by field', { skip: engine.ok ? false : engine.reason }, async () => {
  assert.ok(engine.ok);
  const directory = mkdtempSync(path.join(tmpdir(), 'cloister-golden-'));
  try {
    const seen = await containersOf(policies(path.join(directory, 'extra')), directory, engine.image);
    const [base = {}] = Object.values(seen);
    const found: Golden = {
      default: base,
      policies: Object.fromEntries(Object.entries(seen).map(([name, one]) => [name, differences(base, one)])),
    };
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(FILE, `${JSON.stringify(found, null, 2)}\n`);
    const expected = JSON.parse(readFileSync(FILE, 'utf8')) as Golden; // our own file
    // Newer engines hide more of /proc and /sys; none may hide less.
    for (const name of ['MaskedPaths', 'ReadonlyPaths']) {
      const missing = strings(hostConfig(expected.default)[name]).filter((one) => !strings(hostConfig(found.default)[name]).includes(one));
      assert.deepEqual(missing, [], name);
    }
    assert.deepEqual(withoutMasks(found.default), withoutMasks(expected.default));
    assert.deepEqual(found.policies, expected.policies);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

async function containersOf(all: readonly Policy[], directory: string, image: string): Promise<Record<string, JsonObject>> {
  const driver = createDockerDriver({ log: silentLogger });
  const raw = createEngine({ clock: systemClock });
  const seen: Record<string, JsonObject> = {};
  try {
    const ofImage = asJsonObject(asJsonObject((await raw.call({ method: 'GET', path: `/images/${image}/json` })).body).Config);
    for (const policy of all) {
      const spec = goldenSpec(policy, directory, image);
      const ref = await driver.create(spec);
      try {
        const { body } = await raw.call({ method: 'GET', path: `/containers/${ref.handle}/json` });
        const { uid, gid } = sandboxUser();
        const inspect = asJsonObject(body);
        const names = {
          [directory]: '<directory>',
          [`"${uid}:${gid}"`]: '"<user>"',
          [text(inspect.Name)]: '/<name>',
          [spec.labels.installation]: LABELS.installation,
          [spec.labels.incarnation]: LABELS.incarnation,
          [text(inspect.Image)]: '<image id>',
          [text(asJsonObject(asJsonObject(inspect.Config).Labels)['cloister.spec'])]: '<spec>',
        };
        seen[policy.name] = withoutImage(comparable(inspect, names), ofImage);
      } finally {
        await driver.remove(ref);
      }
    }
  } finally {
    raw.close();
    await driver.close();
  }
  return seen;
}

function goldenSpec({ config, extraMounts, runtimeClass }: Policy, directory: string, image: string): SandboxSpec {
  for (const name of ['workspace', 'home', 'socket', 'extra']) mkdirSync(path.join(directory, name), { recursive: true });
  return buildSpec({
    // Its own installation, so that no server takes it for an orphan, and its own incarnation for each run.
    labels: { ...LABELS, installation: newId('installation'), incarnation: newId('incarnation') },
    environment: { name: 'golden', config },
    image,
    launch: { argv: ['node', '/opt/cloister/builtin.mjs'], env: {} },
    directories: { workspace: path.join(directory, 'workspace'), home: path.join(directory, 'home') },
    socketDirectory: path.join(directory, 'socket'),
    ...(extraMounts === undefined ? {} : { extraMounts }),
    runtimeClass,
  });
}

/** Without what the image itself brings, and with its mounts in one order: the engine lists them in none. */
function withoutImage(inspect: JsonObject, ofImage: JsonObject): JsonObject {
  const config = asJsonObject(inspect.Config);
  const env = strings(config.Env).filter((one) => !strings(ofImage.Env).includes(one));
  const labels = Object.entries(asJsonObject(config.Labels)).filter(([name]) => !Object.hasOwn(asJsonObject(ofImage.Labels), name));
  const mounts = Array.isArray(inspect.Mounts) ? [...inspect.Mounts] : [];
  const byTarget = (a: JsonValue, b: JsonValue) => (text(asJsonObject(a).Destination) < text(asJsonObject(b).Destination) ? -1 : 1);
  return { ...inspect, Mounts: mounts.sort(byTarget), Config: { ...config, Env: env, Labels: Object.fromEntries(labels) } };
}

function hostConfig(inspect: JsonObject): JsonObject {
  return asJsonObject(inspect.HostConfig);
}

function withoutMasks(inspect: JsonObject): JsonObject {
  const { MaskedPaths: _masked, ReadonlyPaths: _readonly, ...rest } = hostConfig(inspect);
  return { ...inspect, HostConfig: rest };
}

function strings(value: JsonValue | undefined): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

function text(value: JsonValue | undefined): string {
  assert.ok(typeof value === 'string');
  return value;
}
