import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient, type SessionEvent } from '../../packages/api/src/index.ts';
import { check, type Violation } from './checker.ts';
import { createFaultLog, type FaultContext, type FaultLog, type FaultName, inject } from './faults.ts';
import type { History, SessionHistory } from './history.ts';
import { createRandom, type Random } from './random.ts';
import type { Counts } from './sender.ts';
import { type SessionLoad, startSessionLoad, type Temper } from './session-load.ts';
import { createSetting, SERVER_KEY, type Setting, type StoreKind } from './setting.ts';
import { openSinks, type Sinks } from './sinks.ts';

export interface TortureOptions {
  /** How many faults, drawn from `faults`. */
  readonly kills: number;
  readonly seed: number;
  readonly store?: StoreKind;
  readonly servers?: number;
  /** What is done to them; SIGKILL unless told. */
  readonly faults?: readonly FaultName[];
  /** Load without a fault, in ms, before the first one: what a healthy system must not do shows here. */
  readonly calmMs?: number;
  /** The servers' program: that of tests unless told. */
  readonly program?: string;
  /** Further settings of the servers. */
  readonly env?: Readonly<Record<string, string>>;
  /** How long all that is accepted may take to end once nothing is broken any more. */
  readonly livenessMs?: number;
  /** How many times longer slow answers take. */
  readonly slowness?: number;
  readonly maxPassage?: number;
  /** Leaves data and logs for a look when something is wrong, which is so unless told otherwise. */
  readonly keep?: boolean;
  readonly onFault?: (count: number) => void;
}

export interface TortureResult {
  readonly history: History;
  readonly violations: readonly Violation[];
  readonly faults: FaultLog;
  readonly requests: Counts;
  readonly connections: number;
  readonly tookMs: number;
  /** Where the data is left for a look when something is wrong; removed otherwise. */
  readonly keptIn: string | undefined;
}

const LIVENESS_MS = 60_000;
/** Short, so that the dead are noticed soon; longer where a server that lives may be slow to say so. */
const LEASE_SECONDS = { killed: 1, otherwise: 2 } as const;
const MAX_QUEUED = 3;
/** Of servers that do what a test asks for. */
export const TEST_PROGRAM = path.resolve(import.meta.dirname, 'server-main.ts');

interface SessionKind {
  readonly policy: 'always_allow' | 'always_ask';
  readonly temper: Temper;
}

/** More sessions than sandboxes, so that they also compete for room. */
const SESSIONS: readonly SessionKind[] = [
  { policy: 'always_allow', temper: 'patient' },
  { policy: 'always_allow', temper: 'patient' },
  { policy: 'always_allow', temper: 'patient' },
  { policy: 'always_allow', temper: 'interrupting' },
  { policy: 'always_allow', temper: 'interrupting' },
  { policy: 'always_ask', temper: 'patient' },
  { policy: 'always_ask', temper: 'patient' },
  { policy: 'always_ask', temper: 'interrupting' },
];
const MAX_SANDBOXES = 5;

const ENV = {
  LOG_LEVEL: 'info',
  MAX_CONCURRENT_SANDBOXES: String(MAX_SANDBOXES),
  MAX_QUEUED_PER_SESSION: String(MAX_QUEUED),
  DRAIN_SECONDS: '5',
  HEARTBEAT_SECONDS: '0.3',
  SWEEP_SECONDS: '0.3',
  RETRY_BASE_SECONDS: '0',
  WEBHOOK_ALLOW_PRIVATE_NETWORK: 'true',
  CLOISTER_TEST_OUTBOX_LEASE_MS: '4000',
};

/** Runs load against servers that things are done to, and judges what came of it. */
export async function runTorture(options: TortureOptions): Promise<TortureResult> {
  const began = performance.now();
  const random = createRandom(options.seed);
  const faultNames = options.faults ?? ['kill'];
  const isKilled = options.kills > 0 && faultNames.every((name) => name === 'kill' || name.startsWith('crash:'));
  const leaseSeconds = isKilled ? LEASE_SECONDS.killed : LEASE_SECONDS.otherwise;
  const setting = await createSetting({
    store: options.store ?? 'sqlite',
    servers: options.servers ?? 1,
    hasSmallDisk: faultNames.includes('disk-full'),
    env: { ...ENV, LEASE_SECONDS: String(leaseSeconds), ...options.env },
    program: options.program ?? TEST_PROGRAM,
  });
  const over = new AbortController();
  let loads: readonly SessionLoad[] = [];
  let sinks: Sinks | undefined;
  // A run that goes wrong leaves its data for a look.
  let isKept = options.keep !== false;
  try {
    await Promise.all(setting.servers.map((server) => server.starting));
    const client = createClient({ url: setting.servers[0]?.control.url ?? '', key: SERVER_KEY });
    sinks = await openSinks(setting, client, random.fork());
    loads = await startLoads(setting, client, random, { signal: over.signal, slowness: options.slowness ?? 1 });
    if (options.calmMs !== undefined) await sleep(options.calmMs);
    const faults = await breakThings(
      { ...setting, random: random.fork(), leaseMs: leaseSeconds * 1000, maxPassage: options.maxPassage, untilWrites: sinks.untilWrites },
      options,
    );
    const livenessMs = options.livenessMs ?? LIVENESS_MS;
    const unfinished = await letFinish(loads, client, livenessMs);
    const [webhooks, sandboxes] = [await sinks.settle(livenessMs), await sinks.sandboxes()];
    over.abort();
    const integrity = await startAfresh(setting, faults);
    const history: History = {
      sessions: await readHistories(loads, client),
      readyMs: faults.readyMs,
      unfinished,
      faults: options.kills,
      recoveries: faults.recoveries,
      stops: faults.stops,
      bareRefusals: sum(loads, (load) => load.sender.counts().bareRefusals),
      maxQueuedPerSession: MAX_QUEUED,
      sandboxes,
      webhooks,
      integrity,
    };
    const violations = check(history);
    isKept = violations.length > 0 && options.keep !== false;
    return {
      history,
      violations,
      faults,
      ...totals(loads),
      tookMs: performance.now() - began,
      keptIn: isKept ? setting.folder : undefined,
    };
  } finally {
    over.abort();
    await Promise.all(loads.map((load) => load.stream.close()));
    await sinks?.close();
    await setting.close({ keep: isKept });
  }
}

async function startLoads(
  setting: Setting,
  client: Client,
  random: Random,
  how: { readonly signal: AbortSignal; readonly slowness: number },
): Promise<SessionLoad[]> {
  const environmentId = (await client.environments.list()).data[0]?.id ?? '';
  const agents = new Map<SessionKind['policy'], string>();
  for (const policy of ['always_allow', 'always_ask'] as const) {
    const tools = [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: policy } } }] as const;
    agents.set(policy, (await client.agents.create({ name: policy, model: 'demo', tools: [...tools] })).id);
  }
  const urls = setting.servers.map((server) => server.control.url);
  // A server of several may be silent without being gone.
  const patience = urls.length > 1 ? { requestMs: 2500, silenceMs: 3000 } : { requestMs: 10_000, silenceMs: 20_000 };
  const loads: SessionLoad[] = [];
  for (const { policy, temper } of SESSIONS) {
    const session = await client.sessions.create({ agent: agents.get(policy) ?? '', environment_id: environmentId });
    loads.push(startSessionLoad({ urls, key: SERVER_KEY, sessionId: session.id, temper, random: random.fork(), ...how, ...patience }));
  }
  return loads;
}

/** The safety phase. In the end nothing is broken any more and every server is ready. */
async function breakThings(context: FaultContext, { kills, faults: names = ['kill'], onFault }: TortureOptions): Promise<FaultLog> {
  const log = createFaultLog();
  for (let count = 1; count <= kills; count++) {
    // Each kind once before any comes twice.
    const name = names[count <= names.length ? count - 1 : context.random.whole(names.length)];
    if (name !== undefined) await inject(name, context, log);
    onFault?.(count);
  }
  for (const server of context.servers) log.readyMs.push((await server.starting) ?? Infinity);
  return log;
}

/** What the API says from now on comes from the disk alone. */
async function startAfresh(setting: Setting, log: FaultLog): Promise<string | null> {
  await Promise.all(setting.servers.map((server) => server.control.kill('SIGKILL')));
  const integrity = setting.integrity();
  for (const server of setting.servers) log.readyMs.push((await server.control.start()) ?? Infinity);
  return integrity;
}

/** The liveness phase: ends the load and waits until all has ended; answers how many turns have not. */
async function letFinish(loads: readonly SessionLoad[], client: Client, livenessMs: number): Promise<number> {
  for (const load of loads) load.finish();
  const deadline = performance.now() + livenessMs;
  const all = Promise.all(loads.map((load) => load.done)).then(() => true);
  await Promise.race([all, sleep(livenessMs, undefined, { ref: false })]);
  for (;;) {
    const { queued, running, waiting_approval: waiting } = (await client.status()).turns;
    const unfinished = queued + running + waiting;
    if (unfinished === 0 || performance.now() > deadline) return unfinished;
    await sleep(50);
  }
}

function readHistories(loads: readonly SessionLoad[], client: Client): Promise<SessionHistory[]> {
  return Promise.all(
    loads.map(async ({ sessionId, sender, stream }) => {
      const logged = await readLog(client, sessionId);
      await untilCaughtUp(stream, logged.length);
      return { sessionId, sent: sender.sent, streamed: [...stream.events], logged, streamFailure: stream.failure() };
    }),
  );
}

async function readLog(client: Client, sessionId: string): Promise<SessionEvent[]> {
  const events: SessionEvent[] = [];
  let page: string | undefined;
  do {
    const answer = await client.events.list(sessionId, { limit: 1000, order: 'asc', page });
    events.push(...answer.data);
    page = answer.next_page ?? undefined;
  } while (page !== undefined);
  return events;
}

/** The checker tells what is missing; here only the time is given that a reader may need. */
async function untilCaughtUp(stream: SessionLoad['stream'], length: number): Promise<void> {
  const deadline = performance.now() + 5000;
  while (stream.events.length < length && stream.failure() === null && performance.now() < deadline) await sleep(10);
}

function totals(loads: readonly SessionLoad[]): Pick<TortureResult, 'requests' | 'connections'> {
  const of = (name: keyof Counts): number => sum(loads, (load) => load.sender.counts()[name]);
  return {
    requests: { tries: of('tries'), unanswered: of('unanswered'), refused: of('refused'), bareRefusals: of('bareRefusals') },
    connections: sum(loads, (load) => load.stream.connections()),
  };
}

function sum(loads: readonly SessionLoad[], value: (load: SessionLoad) => number): number {
  return loads.reduce((total, load) => total + value(load), 0);
}
