import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environmentCreateSchema } from '@cloister/api';
import { asJsonObject, type JsonObject, type JsonValue, toJsonObject } from '../../../base/json.ts';
import { buildSpec } from '../../../sandboxes/spec.ts';
import { containerBody } from '../profile.ts';
import { differences } from './inspect.ts';
import { LABELS } from './policies.ts';

/** All of the engine's fields that what a tenant says may change, and within which bounds. */
const ALLOWED: Readonly<Record<string, (value: JsonValue) => boolean>> = {
  '/Image': (value) => typeof value === 'string',
  '/Env': (value) => Array.isArray(value) && value.every((one: JsonValue) => typeof one === 'string'),
  '/Labels/cloister.spec': (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
  '/HostConfig/Memory': isAmount,
  '/HostConfig/MemorySwap': isAmount,
  '/HostConfig/NanoCpus': isAmount,
  '/HostConfig/PidsLimit': isAmount,
  '/HostConfig/ShmSize': isAmount,
  '/HostConfig/Tmpfs//tmp': (value) => typeof value === 'string' && /^rw,exec,nosuid,nodev,size=\d+,nr_inodes=\d+,mode=1777$/.test(value),
};

/** Names of engine and profile fields, and values that would matter there. */
const OUR_NAMES = 'image memory cpus pids env networking runtime mounts packages type name config metadata scope'.split(' ');
const THEIR_NAMES =
  'HostConfig Privileged CapAdd CapDrop SecurityOpt NetworkMode Binds Mounts PidMode IpcMode UsernsMode Devices DeviceRequests Runtime User Entrypoint Cmd Labels Sysctls CgroupParent ReadonlyRootfs Tmpfs __proto__ constructor toString argv uid gid tmpBytes hostPath labels runtimeClass extraMounts cwd'.split(
    ' ',
  );
const NAMES = [...OUR_NAMES, ...THEIR_NAMES];
const TEXTS =
  'host container:x /:/host:rw /var/run/docker.sock unconfined root 0:0 ALL --privileged \n \0 $(id) ../.. 512m 1e99 -1 container limited'.split(
    ' ',
  );
const VALUES: readonly JsonValue[] = [
  ...TEXTS,
  '',
  'unrestricted',
  'a=b\nUser=root',
  'x'.repeat(3000),
  0,
  -1,
  1e308,
  0.1,
  64,
  4096,
  true,
  false,
  null,
  [],
  {},
  ['SYS_ADMIN'],
  { Type: 'bind', Source: '/', Target: '/host' },
];

test('nothing that a tenant writes reaches an engine field that is not on the list', () => {
  const random = seeded(20_260_921);
  const base = bodyOf({ name: 'x', config: { type: 'container' } });
  for (let round = 0; round < 3000; round += 1) {
    const environment = asJsonObject(hostile(random, 3));
    const config = { ...asJsonObject(hostile(random, 2)), ...(random() < 0.5 ? { type: 'container' } : {}) };
    const definition = toJsonObject({ ...environment, config });
    for (const [field, value] of Object.entries(differences(base, bodyOf(definition)))) {
      assert.ok(
        ALLOWED[field]?.(value),
        `${field} became ${JSON.stringify(value)?.slice(0, 200)} by ${JSON.stringify(definition).slice(0, 2000)}`,
      );
    }
  }
});

test('what is set for the sandbox stands over what a tenant sets', () => {
  const names = [
    'HOME',
    'NODE_OPTIONS',
    'CLOISTER_GATEWAY_SOCKET',
    'CLOISTER_GATEWAY_PORT',
    'HTTP_PROXY',
    'https_proxy',
    'ANTHROPIC_BASE_URL',
  ];
  const env = Object.fromEntries(names.map((name) => [name, 'theirs']));
  const networking = { type: 'limited', allowed_hosts: ['example.org'] };
  const body = bodyOf({ config: { type: 'container', env, networking } });
  const set = asStrings(body.Env).filter((one) => one.endsWith('=theirs'));
  assert.deepEqual(set, []);
});

test('the schema takes no field of the engine and no field that it does not know', () => {
  const random = seeded(7);
  for (let round = 0; round < 500; round += 1) {
    const [name = '', value = null] = [pick(random, THEIR_NAMES), pick(random, VALUES)];
    const config = Object.fromEntries([
      ['type', 'container'],
      [name, value],
    ]) as JsonObject;
    const parsed = environmentCreateSchema.safeParse({ name: 'x', config });
    // `__proto__` as an own key is dropped by the parser and not refused.
    if (name !== '__proto__') assert.equal(parsed.success, false, `${name} was taken`);
  }
});

function bodyOf(environment: JsonObject): JsonObject {
  const spec = buildSpec({
    labels: LABELS,
    environment,
    image: 'image',
    launch: { argv: ['agent'], env: { ANTHROPIC_BASE_URL: 'ours' } },
    directories: { workspace: '/data/workspace', home: '/data/home' },
    socketDirectory: '/data/socket',
  });
  return toJsonObject(containerBody(spec, '1.41'));
}

function isAmount(value: JsonValue): boolean {
  // The bounds are the schema's; null is what JSON makes of a number without one.
  return value === null || typeof value === 'number';
}

function asStrings(value: JsonValue | undefined): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

function hostile(random: () => number, depth: number): JsonValue {
  const shape = random();
  if (depth === 0 || shape < 0.2) return pick(random, VALUES) ?? null;
  if (shape < 0.35) return Array.from({ length: Math.floor(random() * 4) }, () => hostile(random, depth - 1));
  const entries = Array.from({ length: Math.floor(random() * 8) }, () => [pick(random, NAMES), hostile(random, depth - 1)]);
  return JSON.parse(JSON.stringify(Object.fromEntries(entries))) as JsonObject; // made of JSON alone
}

function pick<T>(random: () => number, all: readonly T[]): T | undefined {
  return all[Math.floor(random() * all.length)];
}

/** The same numbers in each run, so that a failure can be looked at. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
