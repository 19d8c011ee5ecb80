import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createManualClock, type ManualClock } from '../../../test/support/manual-clock.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { silentLogger } from '../../base/log.ts';
import { builtinHarness } from '../../harness/builtin.ts';
import type { ExitReport } from '../../runtime/driver.ts';
import { openSqliteStore } from '../../store/sqlite/sqlite-store.ts';
import type { SessionRow } from '../../store/store.ts';
import { createLiveSandboxes, type LiveSandboxes } from '../live-sandboxes.ts';
import type { OpenSandbox, OpenSandboxInput } from '../open-sandbox.ts';
import { createWarmFiles } from './files.ts';
import type { WarmTemplate } from './key.ts';
import { createWarmPool, type WarmPool } from './warm-pool.ts';

const MS = 10_000;
const never = new AbortController().signal;
// No agent is asked here, so there is nothing to rule.
const options: OpenSandboxInput['options'] = { provider: 'demo', model: 'demo', system: null, effort: null, tools: {} as never };
const request = { harness: builtinHarness, options };

interface Bench extends AsyncDisposable {
  readonly live: LiveSandboxes;
  readonly pool: WarmPool;
  readonly clock: ManualClock;
  /** Every sandbox that was opened, in order: for whom, and how to end it from inside. */
  readonly opened: { readonly id: string; readonly exit: () => void }[];
  /** What the agent is now. */
  readonly agent: { system: string };
  /** Throws when set. */
  readonly failing: { error: Error | undefined };
  session(): Promise<SessionRow>;
  /** A new session takes a sandbox, as its turn does. */
  arrive(): Promise<OpenSandbox>;
  ready(count: number): Promise<void>;
}

async function setup(max: number, maxSandboxes: number): Promise<Bench> {
  const clock = createManualClock();
  const store = await openSqliteStore({ file: ':memory:', clock });
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-pool-'));
  const opened: Bench['opened'] = [];
  const agent = { system: 'one' };
  const failing: Bench['failing'] = { error: undefined };
  const template = (): WarmTemplate => ({
    tenantId: 'default',
    agentId: 'agt_one',
    agent: { ...agent },
    environmentId: 'env_one',
    environment: {},
    ...request,
  });
  let made = 0;
  const pools: WarmPool[] = [];
  const open = async (input: OpenSandboxInput) => {
    if (failing.error !== undefined) throw failing.error;
    return openPlain(input, opened);
  };
  const live = createLiveSandboxes({
    open,
    clock,
    log: silentLogger,
    maxSandboxes,
    policyOf: () => ({ pauseMs: undefined, hibernateMs: undefined, stopMs: undefined }),
    makeRoom: async () => false,
    createPool(room) {
      const pool = createWarmPool(
        {
          open,
          store: store.warm,
          files: createWarmFiles(dataDir, 'nod_one'),
          load: async () => template(),
          canPool: () => true,
          imageFor: () => 'image',
          isAlive: async () => () => false,
          clock,
          log: silentLogger,
          nodeId: 'nod_one',
          volumeId: 'vol_one',
          max,
          policyOf: () => ({ pauseMs: undefined, hibernateMs: undefined, stopMs: undefined }),
        },
        room,
      );
      pools.push(pool);
      return pool;
    },
  });
  const [pool] = pools;
  assert.ok(pool !== undefined);
  await pool.start();
  const session = () => {
    const { tenantId, agentId, environmentId, environment } = template();
    const id = `ses_${++made}`;
    const names = { id, tenantId, agentId, environmentId, agentVersion: 1, title: null, metadata: {} };
    return store.sessions.create({ ...names, agent: { ...agent }, environment, now: clock.now() });
  };
  return {
    live,
    pool,
    clock,
    opened,
    agent,
    failing,
    session,
    arrive: async () => live.acquire({ ...request, session: await session(), signal: never }),
    ready: (count) =>
      waitFor(
        () => {
          clock.advance(1000);
          return pool.list().filter(({ state }) => state === 'ready').length === count;
        },
        { timeoutMs: MS, what: `${count} to be ready` },
      ).then(() => undefined),
    async [Symbol.asyncDispose]() {
      await live.close();
      await store.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function openPlain({ sandboxId, session, signal }: OpenSandboxInput, opened: Bench['opened']): Promise<OpenSandbox> {
  signal.throwIfAborted();
  const { promise: exited, resolve } = Promise.withResolvers<ExitReport>();
  const exit = () => resolve({ exitCode: 1, signal: null, isOutOfMemory: false });
  opened.push({ id: session.id, exit });
  return {
    sandboxId,
    ref: { sandbox: sandboxId, incarnation: sandboxId, handle: sandboxId },
    exited,
    // No turn runs here, so nobody talks to the agent.
    agent: undefined as unknown as OpenSandbox['agent'],
    harnessSessionId: `of ${session.id}`,
    isResumed: false,
    stages: { create: 1 },
    assign: async () => undefined,
    lose: resolve,
    observe: () => undefined,
    abortModelCalls: () => undefined,
    diagnostics: () => '',
    close: async () => exit(),
  };
}

test('two sessions lately keep one ready, which the next gets; a while without one, and none is', async () => {
  await using bench = await setup(1, 9);
  await bench.arrive();
  await bench.arrive();
  assert.equal(bench.opened.length, 2);
  await bench.ready(1);
  const { sandboxId } = bench.pool.list()[0] ?? {};
  const taken = await bench.arrive();
  assert.equal(taken.sandboxId, sandboxId);
  assert.deepEqual(Object.keys(taken.stages), ['handover']);
  assert.ok(bench.live.isOwned({ sandbox: taken.sandboxId }));
  assert.equal(bench.pool.tally().hits, 1);
  await bench.ready(1);
  bench.clock.advance(3_600_000);
  await bench.ready(0);
});

test('what stands ready takes no place that a session needs', async () => {
  await using bench = await setup(2, 4);
  await bench.arrive();
  await bench.arrive();
  await bench.ready(1);
  // Of another agent, so that what is ready is not for them.
  bench.agent.system = 'two';
  await bench.arrive();
  await bench.arrive();
  assert.equal(bench.live.list().length, 4);
  assert.equal(bench.pool.list().length, 0);
  await assert.rejects(bench.arrive(), { code: 'capacity_exhausted' });
});

test('one for what has changed is dropped', async () => {
  await using bench = await setup(1, 9);
  await bench.arrive();
  await bench.arrive();
  await bench.ready(1);
  bench.agent.system = 'two';
  bench.pool.refresh();
  await waitFor(() => bench.pool.list().length === 0, { timeoutMs: MS, what: 'the old one to go' });
});

test('one that ends is dropped, counted, and made again later; so is one that does not start', async () => {
  await using bench = await setup(1, 9);
  await bench.arrive();
  await bench.arrive();
  await bench.ready(1);
  bench.failing.error = new Error('no engine');
  bench.opened.at(-1)?.exit();
  await waitFor(() => bench.pool.list().length === 0, { timeoutMs: MS, what: 'it to go' });
  await waitFor(
    () => {
      bench.clock.advance(1000);
      return bench.pool.tally().lost >= 2;
    },
    { timeoutMs: MS, what: 'another try' },
  );
  bench.failing.error = undefined;
  await bench.ready(1);
});

test('a session gets a sandbox of its own when the one that stood ready cannot be had', async () => {
  await using bench = await setup(1, 9);
  await bench.arrive();
  await bench.arrive();
  await bench.ready(1);
  const session = await bench.session();
  // Nothing of it is in the store, as when it was removed meanwhile.
  const gone = { ...session, id: 'ses_gone' };
  const cold = await bench.live.acquire({ ...request, session: gone, signal: never });
  assert.deepEqual(cold.stages, { create: 1 });
  assert.equal(cold.harnessSessionId, 'of ses_gone');
  assert.equal(bench.pool.tally().misses.refused, 1);
  assert.equal(bench.live.list().length, 3);
});
