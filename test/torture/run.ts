import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient, type SessionEvent } from '../../packages/api/src/index.ts';
import { check, type Violation } from './checker.ts';
import type { History, SessionHistory } from './history.ts';
import { createRandom, type Random } from './random.ts';
import { createServerControl, type ServerControl } from './server-control.ts';
import { type SessionLoad, startSessionLoad, type Temper } from './session-load.ts';

export interface TortureOptions {
  readonly kills: number;
  readonly seed: number;
  readonly onKill?: (kill: number) => void;
}

export interface TortureResult {
  readonly history: History;
  readonly violations: readonly Violation[];
  /** How many of the kills came before the server was ready. */
  readonly killsBeforeReady: number;
  readonly requests: { readonly tries: number; readonly unanswered: number };
  readonly connections: number;
  readonly tookMs: number;
  /** Where the data is left for a look when something is wrong; removed otherwise. */
  readonly keptIn: string | undefined;
}

const MAX_LIFE_MS = 400;
/** Some kills come while the server starts, where it settles what the last life left. */
const KILL_AT_START = 0.15;
const START_MS = 1000;
/** How long all that is accepted may take to end once nobody kills any more. */
const LIVENESS_MS = 60_000;

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

/** Runs load against a server that is killed again and again, and judges what came of it. */
export async function runTorture(options: TortureOptions): Promise<TortureResult> {
  const began = performance.now();
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-torture-'));
  const control = await createServerControl({ dataDir, env: { MAX_CONCURRENT_SANDBOXES: String(MAX_SANDBOXES), LOG_LEVEL: 'info' } });
  const random = createRandom(options.seed);
  const over = new AbortController();
  let loads: readonly SessionLoad[] = [];
  // A run that goes wrong leaves its data for a look.
  let keptIn: string | undefined = dataDir;
  try {
    const first = control.start();
    await first;
    const client = createClient({ url: control.url, key: control.key });
    loads = await startLoads(control, client, random, over.signal);
    const { readyMs, killsBeforeReady } = await killAgainAndAgain(control, first, random.fork(), options);
    const unfinished = await letFinish(loads, client);
    over.abort();
    await control.kill('SIGKILL');
    // What the API says now comes from the disk alone.
    const last = (await control.start()) ?? Infinity;
    const history = { sessions: await readHistories(loads, client), readyMs: [...readyMs, last], unfinished };
    const violations = check(history);
    keptIn = violations.length > 0 ? dataDir : undefined;
    return { history, violations, killsBeforeReady, ...totals(loads), tookMs: performance.now() - began, keptIn };
  } finally {
    over.abort();
    await Promise.all(loads.map((load) => load.stream.close()));
    await control.kill('SIGTERM');
    if (keptIn === undefined) await rm(dataDir, { recursive: true, force: true });
  }
}

async function startLoads(control: ServerControl, client: Client, random: Random, signal: AbortSignal): Promise<SessionLoad[]> {
  const environmentId = (await client.environments.list()).data[0]?.id ?? '';
  const agents = new Map<SessionKind['policy'], string>();
  for (const policy of ['always_allow', 'always_ask'] as const) {
    const tools = [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: policy } } }] as const;
    agents.set(policy, (await client.agents.create({ name: policy, model: 'demo', tools: [...tools] })).id);
  }
  const loads: SessionLoad[] = [];
  for (const { policy, temper } of SESSIONS) {
    const session = await client.sessions.create({ agent: agents.get(policy) ?? '', environment_id: environmentId });
    loads.push(startSessionLoad({ url: control.url, key: control.key, sessionId: session.id, temper, random: random.fork(), signal }));
  }
  return loads;
}

interface Kills {
  readonly readyMs: readonly number[];
  readonly killsBeforeReady: number;
}

/** Begins with a server that is being started, ends with one that is ready. */
async function killAgainAndAgain(
  control: ServerControl,
  first: Promise<number | undefined>,
  random: Random,
  options: TortureOptions,
): Promise<Kills> {
  const readyMs: number[] = [];
  let starting = first;
  let killsBeforeReady = 0;
  for (let kill = 1; kill <= options.kills; kill++) {
    if (random.isLucky(KILL_AT_START)) await Promise.race([starting, sleep(random.upTo(START_MS))]);
    else await starting.then(() => sleep(random.upTo(MAX_LIFE_MS)));
    await control.kill('SIGKILL');
    const ms = await starting;
    if (ms === undefined) killsBeforeReady += 1;
    else readyMs.push(ms);
    options.onKill?.(kill);
    starting = control.start();
  }
  readyMs.push((await starting) ?? Infinity);
  return { readyMs, killsBeforeReady };
}

/** Ends the load and waits until all has ended; answers how many turns have not. */
async function letFinish(loads: readonly SessionLoad[], client: Client): Promise<number> {
  for (const load of loads) load.finish();
  const deadline = performance.now() + LIVENESS_MS;
  const all = Promise.all(loads.map((load) => load.done)).then(() => true);
  await Promise.race([all, sleep(LIVENESS_MS, undefined, { ref: false })]);
  for (;;) {
    const { queued, running, waiting_approval: waiting } = (await client.status()).turns;
    const unfinished = queued + running + waiting;
    if (unfinished === 0 || performance.now() > deadline) return unfinished;
    await sleep(50);
  }
}

async function readHistories(loads: readonly SessionLoad[], client: Client): Promise<SessionHistory[]> {
  const histories: SessionHistory[] = [];
  for (const { sessionId, sender, stream } of loads) {
    const logged = await readLog(client, sessionId);
    await untilCaughtUp(stream, logged.length);
    histories.push({ sessionId, sent: sender.sent, streamed: [...stream.events], logged, streamFailure: stream.failure() });
  }
  return histories;
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
  const counts = loads.map((load) => load.sender.counts());
  return {
    requests: {
      tries: counts.reduce((sum, one) => sum + one.tries, 0),
      unanswered: counts.reduce((sum, one) => sum + one.unanswered, 0),
    },
    connections: loads.reduce((sum, load) => sum + load.stream.connections(), 0),
  };
}
