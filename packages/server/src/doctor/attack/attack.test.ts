import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { docker } from '../../../test/support/engine.ts';
import { GVISOR, ownEngineMissing, startOwnEngine } from '../../../test/support/own-engine.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { systemClock } from '../../base/clock.ts';
import { newId } from '../../base/ids.ts';
import { silentLogger } from '../../base/log.ts';
import { createEgressGateway } from '../../egress/egress-gateway.ts';
import { createUnkeptAudit } from '../../egress/unkept-audit.ts';
import { createBubblewrapDriver } from '../../runtime/bubblewrap/driver.ts';
import { bubblewrapMissing, testDirectory } from '../../runtime/bubblewrap/test-host.ts';
import { findPodman } from '../../runtime/docker/conformance-podman.ts';
import { createDockerDriver, type DockerDriver } from '../../runtime/docker/driver.ts';
import { testEngine } from '../../runtime/docker/test-engine.ts';
import type { RuntimeDriver } from '../../runtime/driver.ts';
import { exceptionsOf } from './exceptions.ts';
import { createAttackQuota } from './quota.ts';
import { type AttackResult, runAttack } from './run.ts';

const SECRET = 'sk-doctor-secret-0123456789';

async function assertHolds(driver: RuntimeDriver, image: string, withQuota = false, runtimeClass?: string): Promise<void> {
  const probe = await driver.probe();
  assert.ok(probe.ok);
  const { results, hasQuota } = await attackOn(driver, image, withQuota, runtimeClass);
  const wrong = results.filter(({ state }) => state === 'open' || state === 'untried');
  assert.deepEqual(wrong, []);
  const known = results.filter(({ state }) => state === 'known').map(({ id }) => id);
  assert.deepEqual(known.sort(), [...exceptionsOf(driver.name, probe.version, { hasQuota, runtimeClass }).keys()].sort());
  assert.ok(results.length >= 50, `${results.length} attacks`);
}

async function attackOn(
  driver: RuntimeDriver,
  image: string,
  withQuota: boolean,
  runtimeClass?: string,
): Promise<{ readonly results: readonly AttackResult[]; readonly hasQuota: boolean }> {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-attack-'));
  const gateway = createEgressGateway({
    providers: new Map(),
    modelIdleMs: 1000,
    clock: systemClock,
    log: silentLogger,
    audit: createUnkeptAudit(),
  });
  try {
    const seen: AttackResult[] = [];
    const own = { clock: systemClock, log: silentLogger, dataDir, seesOurMounts: async () => true };
    const quota = withQuota ? await createAttackQuota(own) : undefined;
    const deps = { driver, gateway, clock: systemClock, dataDir, image, nodeId: newId('node'), secrets: [SECRET], quota, runtimeClass };
    const results = await runAttack(deps, (result) => seen.push(result));
    assert.deepEqual(seen, results);
    assert.deepEqual(await readdir(dataDir), []);
    return { results, hasQuota: quota !== undefined };
  } finally {
    await gateway.close();
    await driver.close();
    await rm(dataDir, { recursive: true });
  }
}

const engine = await testEngine();

test('docker: every attack on a sandbox is refused', { skip: engine.ok ? false : engine.reason, timeout: 180_000 }, async () => {
  assert.ok(engine.ok);
  const { image } = engine;
  await assertHolds(alwaysHeld(createDockerDriver({ log: silentLogger, networkHolders: { size: 2, image } })), image, true);
});

/** As servers have it that made sandboxes before: each in a network namespace that was made ahead. */
function alwaysHeld(driver: DockerDriver): RuntimeDriver {
  return {
    ...driver,
    async create(spec, call) {
      const another = { ...spec, labels: { ...spec.labels, incarnation: newId('incarnation') } };
      if (driver.holders.ready() === 0) await driver.remove(await driver.create(another));
      await waitFor(() => driver.holders.ready() > 0, { timeoutMs: 60_000, what: 'a network holder' });
      const ref = await driver.create(spec, call);
      assert.match(await docker('inspect', '--format', '{{.HostConfig.NetworkMode}}', ref.handle), /^container:/);
      return ref;
    },
  };
}

test('docker: a sandbox with a hole is told apart', { skip: engine.ok ? false : engine.reason, timeout: 180_000 }, async () => {
  assert.ok(engine.ok);
  const { image } = engine;
  const driver = createDockerDriver({ log: silentLogger });
  // The folder of all sockets and workspaces, which no sandbox may see.
  const leaky: RuntimeDriver = {
    ...driver,
    create: (spec, call) => {
      const [workspace] = spec.mounts;
      const folder = path.resolve(workspace?.hostPath ?? '', '../../..');
      for (const closed of [folder, path.join(folder, 'run')]) chmodSync(closed, 0o755);
      return driver.create({ ...spec, mounts: [...spec.mounts, { hostPath: folder, path: folder, isReadOnly: true }] }, call);
    },
  };
  const { results } = await attackOn(leaky, image, false);
  const open = results.filter(({ state }) => state === 'open').map(({ id }) => id);
  for (const id of ['host-files', 'gateway-of-another', 'sockets']) assert.ok(open.includes(id), `${id} is not among ${open.join(', ')}`);
});

const bubblewrap = testDirectory();
after(() => bubblewrap.remove());
const bubblewrapSkip = await bubblewrapMissing({ stateDirectory: bubblewrap.path });

test('bubblewrap: every attack on a sandbox is refused, but what is known', { skip: bubblewrapSkip, timeout: 180_000 }, async () => {
  await assertHolds(createBubblewrapDriver({ stateDirectory: bubblewrap.path, log: silentLogger }), 'none');
});

const podman = await findPodman();

test('podman: every attack on a sandbox is refused, but what is known', {
  skip: podman.ok ? false : podman.reason,
  timeout: 240_000,
}, async () => {
  assert.ok(podman.ok);
  await using service = await podman.start();
  await assertHolds(createDockerDriver({ kind: 'podman', endpoint: service.endpoint, log: silentLogger }), service.image);
});

test('gVisor: every attack on a sandbox is refused, or reaches its own kernel alone', { timeout: 400_000 }, async (t) => {
  const missing = (await ownEngineMissing('runsc')) || (engine.ok ? false : engine.reason);
  if (missing !== false || !engine.ok) return t.skip(String(missing));
  await using own = await startOwnEngine({ images: [engine.image], runtimes: GVISOR });
  await assertHolds(createDockerDriver({ log: silentLogger, endpoint: own.endpoint }), engine.image, false, 'runsc');
});
