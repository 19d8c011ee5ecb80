import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createManualClock, type ManualClock } from '../../test/support/manual-clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { silentLogger } from '../base/log.ts';
import { builtinHarness } from '../harness/builtin.ts';
import { conformancePrograms, fakeCommand } from '../runtime/fake/conformance-programs.ts';
import { createFakeDriver } from '../runtime/fake/driver.ts';
import { createFakeEngine } from '../runtime/fake/engine.ts';
import type { SessionRow } from '../store/store.ts';
import { createLiveSandboxes, type LiveSandboxes, type LiveSandboxesDeps } from './live-sandboxes.ts';
import type { OpenSandbox, OpenSandboxInput } from './open-sandbox.ts';
import { sleepPolicyOf } from './sleep-policy.ts';
import type { Stages } from './stages.ts';

const never = new AbortController().signal;
const DEFAULTS = { pauseMs: 30_000, hibernateMs: 300_000, stopMs: 1_800_000 };

interface Bench {
  readonly live: LiveSandboxes;
  readonly clock: ManualClock;
  readonly engine: ReturnType<typeof createFakeEngine>;
  /** What was asked of the runtime's power to sleep, in order. */
  readonly asked: string[];
  readonly closed: string[];
  /** Lets the turn have its sandbox. */
  acquire(session: SessionRow, stages?: Stages): Promise<OpenSandbox>;
  prepare(session: SessionRow, claim?: () => Promise<boolean>): Promise<void>;
  state(): string | undefined;
}

/** Live sandboxes on the fake engine, under a clock that is moved by hand. */
function setup(changes: Partial<LiveSandboxesDeps> & { readonly onOpen?: (input: OpenSandboxInput) => Promise<void> } = {}): Bench {
  const clock = createManualClock();
  const engine = createFakeEngine(clock);
  const driver = createFakeDriver({ engine, programs: conformancePrograms });
  const { sleep } = driver;
  assert.ok(sleep !== undefined);
  const [asked, closed]: [string[], string[]] = [[], []];
  const live = createLiveSandboxes({
    async open(input) {
      await changes.onOpen?.(input);
      return openFake(driver, input);
    },
    clock,
    log: silentLogger,
    maxSandboxes: 5,
    policyOf: (environment) => sleepPolicyOf(environment, DEFAULTS),
    power: {
      ...sleep,
      pause: (ref) => note('pause', sleep.pause(ref)),
      resume: (ref) => note('resume', sleep.resume(ref)),
      reclaim: (ref) =>
        note(
          'reclaim',
          sleep.reclaim(ref).then(() => 1000),
        ),
    },
    makeRoom: async () => false,
    onClosed: ({ sessionId }) => void closed.push(sessionId),
    ...changes,
  });
  async function note<T>(name: string, work: Promise<T>): Promise<T> {
    asked.push(name);
    return work;
  }
  const request = { harness: builtinHarness, options: OPTIONS };
  return {
    live,
    clock,
    engine,
    asked,
    closed,
    acquire: (session, stages) => live.acquire({ ...request, session, signal: never, stages }),
    prepare: (session, claim = async () => true) => live.prepare({ ...request, session, claim }),
    state: () => live.list()[0]?.state,
  };
}

const OPTIONS: OpenSandboxInput['options'] = {
  provider: 'demo',
  model: 'demo',
  system: null,
  effort: null,
  // No agent is asked here, so there is nothing to rule.
  tools: {} as OpenSandboxInput['options']['tools'],
};

async function openFake(
  driver: ReturnType<typeof createFakeDriver>,
  { sandboxId, session, signal }: OpenSandboxInput,
): Promise<OpenSandbox> {
  const labels = { installation: 'ins', node: 'nod', tenant: 'ten', agent: 'agt', session: session.id, sandbox: sandboxId };
  const ref = await driver.create(
    {
      labels: { ...labels, incarnation: newId('incarnation') },
      image: 'none',
      argv: fakeCommand({ name: 'hang' }),
      env: {},
      cwd: '/',
      uid: 1000,
      gid: 1000,
      memoryBytes: 2 ** 30,
      cpus: 1,
      pids: 64,
      mounts: [],
      tmpBytes: 1024,
    },
    { signal },
  );
  const { exited } = await driver.start(ref, { signal });
  return {
    sandboxId,
    ref,
    exited,
    // No turn runs here, so nobody talks to the agent.
    agent: undefined as unknown as OpenSandbox['agent'],
    harnessSessionId: 'one',
    isResumed: true,
    stages: { create: 1 },
    assign: async () => undefined,
    observe: () => undefined,
    abortModelCalls: () => undefined,
    diagnostics: () => '',
    lose: () => undefined,
    close: () => driver.remove(ref),
  };
}

function session(id: string, sleep: Record<string, number> | null = null): SessionRow {
  const usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheCreationTokens: 0 };
  return {
    id,
    tenantId: 'ten',
    agentId: 'agt',
    agentVersion: 1,
    agent: {},
    environmentId: 'env',
    resources: [],
    environment: { config: { sleep } },
    title: null,
    metadata: {},
    vaultIds: [],
    state: 'idle',
    lastSeq: 0,
    harnessSessionId: null,
    usage,
    activeMs: 0,
    createdAt: 0,
    updatedAt: 0,
    archivedAt: null,
  };
}

const settle = () => new Promise(setImmediate);

async function pass(bench: Bench, ms: number): Promise<string | undefined> {
  bench.clock.advance(ms);
  await settle();
  return bench.state();
}

test('an idle sandbox is paused, hibernated and stopped in its time, and one that is woken is the same', async () => {
  const bench = setup();
  const first = await bench.acquire(session('one'));
  bench.live.release('one');
  assert.equal(bench.state(), 'idle');
  assert.equal(await pass(bench, 29_000), 'idle');
  assert.equal(await pass(bench, 1000), 'paused');
  assert.equal(bench.engine.all()[0]?.state, 'paused');
  assert.equal(await pass(bench, 270_000), 'hibernated');
  assert.deepEqual(
    bench.live.idle().map(({ sessionId }) => sessionId),
    ['one'],
  );
  const stages: Stages = {};
  assert.equal(await bench.acquire(session('one'), stages), first);
  assert.deepEqual([bench.state(), bench.engine.all()[0]?.state, Object.keys(stages)], ['busy', 'running', ['wake']]);
  assert.equal(await pass(bench, 3_600_000), 'busy', 'what works never sleeps');
  bench.live.release('one');
  await pass(bench, 30_000);
  await pass(bench, 300_000);
  assert.equal(await pass(bench, 1_470_000), undefined);
  assert.deepEqual([bench.engine.all(), bench.closed], [[], ['one']]);
});

test('the environment says how deep its sandboxes sleep', async () => {
  const bench = setup();
  await bench.acquire(session('one', { pause_after_seconds: 0, hibernate_after_seconds: 5, stop_after_seconds: 0 }));
  bench.live.release('one');
  assert.equal(await pass(bench, 4000), 'idle');
  assert.equal(await pass(bench, 1000), 'hibernated');
  assert.equal(await pass(bench, 360_000_000), 'hibernated', 'never stopped for that');
});

test('where the host takes no memory back it stays paused, and where nothing can sleep it stays idle', async () => {
  const paused = setup({
    power: { pause: async () => undefined, resume: async () => undefined, reclaim: async () => undefined, memory: async () => undefined },
  });
  await paused.acquire(session('one'));
  paused.live.release('one');
  await pass(paused, 30_000);
  assert.equal(await pass(paused, 300_000), 'paused');
  const idle = setup({ power: undefined });
  await idle.acquire(session('one'));
  idle.live.release('one');
  assert.equal(await pass(idle, 600_000), 'idle');
});

test('a sandbox that is lost while it sleeps is noticed, and the next turn gets a new one', async () => {
  const bench = setup();
  const first = await bench.acquire(session('one'));
  bench.live.release('one');
  await pass(bench, 30_000);
  const [lost] = bench.engine.all();
  assert.ok(lost !== undefined);
  lost.main?.kill();
  bench.engine.remove(lost);
  await settle();
  assert.equal(bench.state(), undefined);
  assert.notEqual(await bench.acquire(session('one')), first);
});

test('a sandbox that cannot be woken is replaced, and one that was woken by hand is used', async () => {
  const bench = setup();
  const first = await bench.acquire(session('one'));
  bench.live.release('one');
  await pass(bench, 30_000);
  const seen = bench.engine.all()[0];
  assert.ok(seen !== undefined);
  seen.state = 'running';
  assert.equal(await bench.acquire(session('one')), first);
  bench.live.release('one');
  await pass(bench, 30_000);
  // Gone, and nobody was told.
  bench.engine.remove(seen);
  const stages: Stages = {};
  assert.notEqual(await bench.acquire(session('one'), stages), first);
  assert.deepEqual(Object.keys(stages), ['room', 'create']);
});

test('a thousand sleeping sessions cost no container, and no session waits for one that sleeps', async () => {
  const bench = setup();
  for (let n = 0; n < 1000; n++) {
    await bench.acquire(session(`ses_${n}`));
    bench.live.release(`ses_${n}`);
    if (n % 100 === 0) await pass(bench, 31_000);
    assert.ok(bench.engine.all().length <= 5);
  }
  await pass(bench, 1_800_000);
  await settle();
  assert.deepEqual([bench.live.list(), bench.engine.all()], [[], []]);
  assert.equal(bench.closed.length, 1000);
  await bench.acquire(session('ses_0'));
});

test('a sandbox is opened ahead while there is room, and the first turn has it', async () => {
  const bench = setup({ maxSandboxes: 2 });
  await bench.prepare(session('one'));
  assert.equal(bench.state(), 'idle');
  await bench.prepare(session('two'));
  assert.equal(bench.live.list().length, 1, 'the last place is left to those who come');
  const stages: Stages = {};
  await bench.acquire(session('one'), stages);
  assert.deepEqual([bench.state(), stages, bench.engine.all().length], ['busy', {}, 1]);
});

test('a sandbox that is opened ahead gives way even while it starts, and a turn of its own waits for it', async () => {
  const gate = Promise.withResolvers<void>();
  const bench = setup({
    maxSandboxes: 2,
    onOpen: ({ session: { id }, signal }) =>
      id === 'ahead'
        ? Promise.race([gate.promise, new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))])
        : Promise.resolve(),
  });
  const ahead = bench.prepare(session('ahead'));
  await bench.acquire(session('one'));
  await bench.acquire(session('two'));
  await ahead;
  assert.deepEqual(
    bench.live.list().map(({ sessionId }) => sessionId),
    ['one', 'two'],
  );
  await bench.live.discard('two');
  await bench.live.discard('one');
  const again = bench.prepare(session('ahead'));
  const stages: Stages = {};
  const turn = bench.acquire(session('ahead'), stages);
  await settle();
  gate.resolve();
  await Promise.all([again, turn]);
  assert.deepEqual([bench.state(), Object.keys(stages)], ['busy', ['ready']]);
});

test('a turn that is stopped while it waits for a start leaves the sandbox to the next', async () => {
  const gate = Promise.withResolvers<void>();
  const bench = setup({ onOpen: () => gate.promise });
  const ahead = bench.prepare(session('one'));
  const stop = new AbortController();
  const turn = bench.live.acquire({ harness: builtinHarness, options: OPTIONS, session: session('one'), signal: stop.signal });
  stop.abort(new Error('stopped'));
  await assert.rejects(turn, /stopped/);
  gate.resolve();
  await ahead;
  assert.equal(bench.state(), 'idle');
});

test('what is not ours to open ahead, or fails, leaves nothing', async () => {
  const bench = setup({
    onOpen: async () => {
      throw new PlatformError('image_missing');
    },
  });
  await bench.prepare(session('one'), async () => false);
  await bench.prepare(session('one'));
  assert.deepEqual([bench.live.list(), bench.engine.all()], [[], []]);
  await assert.rejects(bench.acquire(session('one')), { code: 'image_missing' });
});

test('a session that is discarded while its sandbox is opened ahead keeps none', async () => {
  const claim = Promise.withResolvers<boolean>();
  const bench = setup();
  const ahead = bench.prepare(session('one'), () => claim.promise);
  const discarded = bench.live.discard('one');
  claim.resolve(true);
  await Promise.all([ahead, discarded]);
  assert.deepEqual([bench.live.list(), bench.engine.all()], [[], []]);
});
