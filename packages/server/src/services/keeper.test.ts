import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { testSealer } from '../../test/support/sealer.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { silentLogger } from '../base/log.ts';
import type { EgressGateway, GatewayBinding } from '../egress/gateway.ts';
import { createFakeServices, type FakeServices } from '../runtime/fake/services.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { ServiceRow, Store } from '../store/store.ts';
import { hashCallbackToken } from './files.ts';
import { createGatewaySockets, FORWARDERS } from './gateway-sockets.ts';
import { createKeeper } from './keeper.ts';
import { type ServiceDefinition, toStored } from './spec.ts';

const TENANT = 'tnt_one';
const HOST = 'fake';
const EXIT = { exitCode: 3, signal: null, isOutOfMemory: false };
const definition: ServiceDefinition = {
  image: 'any',
  argv: null,
  env: { SECRET: 'x' },
  port: 8080,
  health: { type: 'http', path: '/health' },
  memoryBytes: 64 * 1024 ** 2,
  cpus: 1,
  pids: 64,
  uid: 1000,
  networking: 'none',
};
const settings = {
  ports: { first: 19_100, last: 19_109 },
  bind: '127.0.0.1',
  maxPerTenant: 10,
  healthMs: 20,
  healthFailures: 2,
  startMs: 1,
  restartBaseMs: 10,
  maxRestarts: 2,
  restartWindowMs: 600_000,
};

interface Bench extends AsyncDisposable {
  readonly store: Store;
  readonly runtime: FakeServices;
  readonly dataDir: string;
  /** What the next health checks say, and which ports other programs have. */
  health: string | undefined;
  readonly foreign: Set<number>;
  /** What was opened of the gateway, and not closed again. */
  readonly open: Map<string, GatewayBinding>;
  readonly gateway: EgressGateway;
  /** One more keeper, as another server's; returns its end, which leaves everything as it is. */
  keep(): () => Promise<void>;
  create(more?: Partial<ServiceDefinition>): Promise<ServiceRow>;
  want(row: ServiceRow, desired: ServiceRow['desired']): Promise<unknown>;
  until(row: ServiceRow, state: ServiceRow['state'], what?: (row: ServiceRow) => boolean): Promise<ServiceRow>;
}

async function setUp(): Promise<Bench> {
  const store = await openSqliteStore({ file: ':memory:', clock: systemClock });
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-keeper-'));
  const runtime = createFakeServices();
  const open = new Map<string, GatewayBinding>();
  for (const name of FORWARDERS) await writeFile(path.join(dataDir, name), '');
  const ends = new Set<() => Promise<void>>();
  let wake: () => void = () => undefined;
  const bench: Bench = {
    store,
    runtime,
    dataDir,
    health: undefined,
    foreign: new Set(),
    open,
    gateway: {
      async open(binding) {
        open.set(binding.sandboxId, binding);
        const close = async () => void open.delete(binding.sandboxId);
        const nothing = () => undefined;
        return { beginTurn: nothing, abortModelCalls: nothing, assign: async () => undefined, close };
      },
      close: async () => undefined,
    },
    keep() {
      const controller = new AbortController();
      const keeper = createKeeper({
        services: store.services,
        runtime,
        clock: systemClock,
        log: silentLogger,
        installation: 'ins',
        hostId: HOST,
        dataDir,
        settings,
        sealer: testSealer(),
        probe: async () => bench.health,
        gateways: createGatewaySockets({ dataDir, log: silentLogger, gateway: bench.gateway, runnerDirectory: dataDir }),
        isPortFree: async (_address, port) => !bench.foreign.has(port),
      });
      wake = keeper.wake;
      const done = keeper.run(controller.signal);
      const end = async () => {
        controller.abort();
        await done;
      };
      ends.add(end);
      return end;
    },
    create: (more) => {
      const made = store.services.create({
        tenantId: TENANT,
        id: newId('service'),
        hostId: HOST,
        name: 'one',
        spec: toStored({ ...definition, ...more }),
        metadata: {},
        ports: settings.ports,
        max: 10,
        now: systemClock.now(),
      });
      return made.finally(wake);
    },
    want: (row, desired) =>
      store.services.want({ ...keyOf(row), desired, isNewStart: false, event: { type: desired }, now: systemClock.now() }).finally(wake),
    until: (row, state, what = () => true) =>
      waitFor(
        async () => {
          const now = await store.services.find(keyOf(row));
          return now?.state === state && what(now) ? now : undefined;
        },
        { timeoutMs: 20_000, what: `the state ${state}` },
      ),
    async [Symbol.asyncDispose]() {
      for (const end of ends) await end();
      await store.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
  return bench;
}

const keyOf = ({ tenantId, id }: ServiceRow) => ({ tenantId, id });

describe('the keeper of services', () => {
  it('brings one from its creation to its deletion, and leaves nothing', async () => {
    await using bench = await setUp();
    const { runtime, store, dataDir } = bench;
    bench.keep();
    const row = await bench.create();
    const running = await bench.until(row, 'running', ({ health }) => health === 'healthy');
    const [container, ...others] = runtime.containers();
    assert.deepEqual(others, []);
    assert.equal(container?.ref.incarnation, running.incarnation);
    assert.deepEqual(container?.spec.port, { inside: 8080, host: row.port, address: '127.0.0.1' });
    assert.equal(container?.spec.mayReachOut, false);
    assert.equal(container?.spec.relayDirectory, path.join(dataDir, 'services', row.id, 'port'));
    const token = await readFile(path.join(dataDir, 'services', row.id, 'run', 'callback-token'), 'utf8');
    assert.equal(running.callbackHash, hashCallbackToken(token));
    assert.ok(!JSON.stringify(container?.spec).includes(token), 'the token is in a file, not in the environment');
    await bench.want(row, 'stopped');
    await bench.until(row, 'stopped');
    assert.deepEqual(runtime.containers(), []);
    await bench.want(row, 'running');
    await bench.until(row, 'running', ({ incarnation }) => incarnation !== running.incarnation);
    await bench.want(row, 'deleted');
    await waitFor(async () => (await store.services.find(keyOf(row))) === undefined, { timeoutMs: 20_000, what: 'the deletion' });
    assert.deepEqual([runtime.containers(), await runtime.remnants({ installation: 'ins' })], [[], []]);
    assert.equal(existsSync(path.join(dataDir, 'services', row.id)), false);
  });

  it('starts what ends again, with the reason, and gives up in the end until it is asked anew', async () => {
    await using bench = await setUp();
    bench.keep();
    const row = await bench.create({ health: { type: 'process', path: null } });
    for (let times = 0; times < 2; times++) {
      await bench.until(row, 'running', ({ restarts }) => restarts.length === times);
      bench.runtime.crash(row.id, EXIT);
    }
    await bench.until(row, 'running', ({ restarts }) => restarts.length === 2);
    bench.runtime.vanish(row.id);
    const failed = await bench.until(row, 'failed');
    assert.match(failed.reason ?? '', /^crash loop, 2 restarts within 600 s: its container was removed from outside$/);
    const { data } = await bench.store.services.listEvents({ ...keyOf(row), limit: 50, order: 'asc' });
    assert.match(data.find(({ type }) => type === 'exited')?.detail ?? '', /^it exited with code 3; started again in/);
    await bench.want(row, 'running');
    await bench.until(row, 'running', ({ restarts }) => restarts.length === 0);
  });

  it('opens the gateway for a limited one before it starts, and closes it with it', async () => {
    await using bench = await setUp();
    const end = bench.keep();
    const row = await bench.create({ networking: 'limited', allowedHosts: ['example.org'] });
    const other = await bench.create();
    for (const one of [row, other]) await bench.until(one, 'running');
    const [binding, ...others] = bench.open.values();
    assert.deepEqual(others, []);
    assert.deepEqual([binding?.tenantId, binding?.network], [TENANT, { allowedHosts: ['example.org'] }]);
    const spec = bench.runtime.containers().find(({ ref }) => ref.service === row.id)?.spec;
    assert.equal(spec?.mayReachOut, false, 'the socket is its only way');
    assert.equal(spec.env.HTTPS_PROXY, 'http://127.0.0.1:8787');
    assert.ok(existsSync(path.join(bench.dataDir, 'services', row.id, 'run', 'forwarder.mjs')));
    await end();
    assert.equal(bench.open.size, 0, 'who does not keep the services has none of their sockets');
    bench.keep();
    await waitFor(() => bench.open.has(row.id), { timeoutMs: 20_000, what: 'the next keeper to open it' });
    await bench.want(row, 'stopped');
    await waitFor(() => bench.open.size === 0, { timeoutMs: 20_000, what: 'it to be closed' });
  });

  it('replaces one that fails its health checks', async () => {
    await using bench = await setUp();
    bench.keep();
    const row = await bench.create();
    const first = await bench.until(row, 'running', ({ health }) => health === 'healthy');
    bench.health = 'ECONNREFUSED';
    const ends = async () => (await bench.store.services.listEvents({ ...keyOf(row), limit: 50, order: 'asc' })).data;
    const end = await waitFor(async () => (await ends()).find(({ type }) => type === 'exited'), { timeoutMs: 20_000, what: 'its end' });
    assert.match(end.detail ?? '', /^it failed \d+ health checks in a row: ECONNREFUSED;/);
    bench.health = undefined;
    await bench.until(row, 'running', ({ health, incarnation }) => health === 'healthy' && incarnation !== first.incarnation);
  });

  it('replaces one whose port leads nowhere any more', async () => {
    await using bench = await setUp();
    bench.keep();
    const row = await bench.create({ health: { type: 'process', path: null } });
    const first = await bench.until(row, 'running');
    bench.runtime.cutOff(row.id);
    const later = await bench.until(row, 'running', ({ incarnation }) => incarnation !== first.incarnation);
    assert.equal(later.restarts.length, 1);
    const { data } = await bench.store.services.listEvents({ ...keyOf(row), limit: 50, order: 'asc' });
    assert.match(data.find(({ type }) => type === 'exited')?.detail ?? '', /^the relay of its port ended;/);
  });

  it('goes to another port when the host has a program at the first, before or at the start', async () => {
    await using bench = await setUp();
    bench.foreign.add(19_100);
    bench.runtime.failNext('start', new PlatformError('service_port_taken'));
    const row = await bench.create();
    bench.keep();
    const running = await bench.until(row, 'running');
    assert.deepEqual([row.port, running.port >= 19_101], [19_100, true]);
    assert.equal(bench.runtime.containers()[0]?.spec.port.host, running.port);
    assert.equal(bench.runtime.containers().length, 1);
  });

  it('tries each port of the pool once, and says that none is free when other programs have them all', async () => {
    await using bench = await setUp();
    for (let port = 19_100; port <= 19_108; port++) bench.foreign.add(port);
    bench.keep();
    const row = await bench.create();
    assert.equal((await bench.until(row, 'running')).port, 19_109);
    await bench.want(row, 'stopped');
    await bench.until(row, 'stopped');
    bench.foreign.add(19_109);
    await bench.want(row, 'running');
    const failed = await bench.until(row, 'failed');
    assert.match(failed.reason ?? '', /^no port from 19100 to 19109 is free on its host/);
    const { data } = await bench.store.services.listEvents({ ...keyOf(row), limit: 100, order: 'asc' });
    assert.equal(data.filter(({ type }) => type === 'port_changed').length, 18, 'nine moves to the free one, and nine more');
    bench.foreign.delete(19_104);
    await bench.want(row, 'running');
    assert.equal((await bench.until(row, 'running')).port, 19_104);
  });

  it('fails at once when the image is missing, and waits while the engine is away', async () => {
    await using bench = await setUp();
    bench.keep();
    const failed = await bench.until(await bench.create({ image: 'missing' }), 'failed');
    assert.match(failed.reason ?? '', /no image "missing"/);
    bench.runtime.failNext('create', new PlatformError('runtime_unreachable'));
    const row = await bench.create();
    assert.deepEqual((await bench.until(row, 'running')).restarts, [], 'the engine was at fault');
  });

  it('takes up what another left at any point, without a second container', async () => {
    await using bench = await setUp();
    const { runtime, store } = bench;
    const rows = [await bench.create(), await bench.create(), await bench.create()];
    const end = bench.keep();
    for (const row of rows) await bench.until(row, 'running');
    await end();
    const [named, started, gone] = await Promise.all(rows.map((row) => store.services.find(keyOf(row))));
    assert.ok(named != null && started != null && gone != null);
    // One whose name alone was written, one that was started and not written down, one that nobody knows any more.
    runtime.vanish(named.id);
    const now = systemClock.now();
    for (const row of [named, started])
      await store.services.record({ ...keyOf(row), revision: row.revision, changes: { state: 'starting' }, now });
    await bench.want(gone, 'deleted');
    await store.services.purge(keyOf(gone));
    bench.keep();
    for (const row of [named, started])
      await bench.until(row, 'running', ({ incarnation, restarts }) => incarnation === row.incarnation && restarts.length === 0);
    await waitFor(() => runtime.containers().length === 2, { timeoutMs: 20_000, what: 'the orphan to go' });
    assert.deepEqual(
      runtime
        .containers()
        .map(({ ref }) => ref.service)
        .sort(),
      [named.id, started.id].sort(),
    );
    assert.equal((await runtime.remnants({ installation: 'ins' })).length, 2);
  });
});
