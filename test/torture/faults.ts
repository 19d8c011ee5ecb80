import { setTimeout as sleep } from 'node:timers/promises';
import { CRASH_POINTS, type CrashPoint } from '../../packages/server/src/base/crash-points.ts';
import type { SmallDisk } from '../support/loop-filesystem.ts';
import type { Postgres } from '../support/postgres.ts';
import type { Recovery, Stop } from './history.ts';
import type { Random } from './random.ts';
import { restart, type TortureServer } from './servers.ts';

/** Points that every server at work passes; `crash:` and one of these is a fault too. */
export const PASSED_POINTS = CRASH_POINTS.filter((name) => name !== 'migrate.between_statements' && name !== 'warm.after_claim');
const PLAIN_FAULTS = ['kill', 'term', 'pause', 'pg-restart', 'pg-kill', 'blackhole', 'cut', 'disk-full'] as const;
type PlainFault = (typeof PLAIN_FAULTS)[number];
export type FaultName = PlainFault | `crash:${CrashPoint}`;
export const FAULTS: readonly FaultName[] = [...PLAIN_FAULTS, ...PASSED_POINTS.map((name) => `crash:${name}` as const)];

export interface FaultContext {
  readonly servers: readonly TortureServer[];
  readonly postgres: Postgres | undefined;
  readonly disk: SmallDisk | undefined;
  readonly random: Random;
  readonly leaseMs: number;
  /** A server dies at one of its first so many passages of a named point. */
  readonly maxPassage?: number | undefined;
  /** Resolves when the server at the URL has answered a write. */
  readonly untilWrites: (url: string) => Promise<void>;
}

/** What was done and seen; the injectors add to it. */
export interface FaultLog {
  readonly counts: Map<FaultName, number>;
  readonly readyMs: number[];
  killsBeforeReady: number;
  readonly recoveries: Recovery[];
  readonly stops: Stop[];
}

export function createFaultLog(): FaultLog {
  return { counts: new Map(), readyMs: [], killsBeforeReady: 0, recoveries: [], stops: [] };
}

const MAX_LIFE_MS = 400;
/** Some kills come while the server starts, where it settles what the last life left. */
const KILL_AT_START = 0.15;
const START_MS = 1000;
const MAX_OUTAGE_MS = 2000;
/** How long all is well before a fault of the database or the disk. */
const CALM_MS = 1500;
/** At which passage of a named point a server dies at the latest, and how long it may take to come to it. */
const MAX_PASSAGE = 3;
const PASSAGE_LIMIT_MS = 20_000;

type Inject = (context: FaultContext, log: FaultLog) => Promise<void>;

const INJECT: Readonly<Record<PlainFault, Inject>> = {
  async kill({ servers, random }, log) {
    const server = pick(servers, random);
    if (random.isLucky(KILL_AT_START)) await Promise.race([server.starting, sleep(random.upTo(START_MS))]);
    else await server.starting.then(() => sleep(random.upTo(MAX_LIFE_MS)));
    await server.control.kill('SIGKILL');
    const ms = await server.starting;
    if (ms === undefined) log.killsBeforeReady += 1;
    else log.readyMs.push(ms);
    restart(server);
  },

  async term({ servers, random }, log) {
    const server = pick(servers, random);
    log.readyMs.push((await server.starting) ?? Infinity);
    await sleep(random.upTo(MAX_LIFE_MS));
    const began = performance.now();
    const code = await server.control.kill('SIGTERM');
    log.stops.push({ code, ms: performance.now() - began });
    restart(server);
  },

  /** Longer than its leases live, so that others take over what it holds. */
  async pause({ servers, random, leaseMs }) {
    const server = pick(servers, random);
    await server.starting;
    await sleep(random.upTo(MAX_LIFE_MS));
    server.control.signal('SIGSTOP');
    await sleep(leaseMs * (1.2 + random.upTo(1)));
    server.control.signal('SIGCONT');
  },

  'pg-restart': (context, log) =>
    outage('pg-restart', context, log, async (postgres) => {
      await postgres.stop(context.random.isLucky(0.5) ? 'fast' : 'immediate');
    }),
  'pg-kill': (context, log) => outage('pg-kill', context, log, (postgres) => postgres.kill()),

  async blackhole({ servers, random, untilWrites }, log) {
    const server = pick(servers, random);
    await server.starting;
    await sleep(random.upTo(CALM_MS));
    const began = performance.now();
    server.link?.set('blackhole');
    await sleep(random.upTo(MAX_OUTAGE_MS * 2));
    server.link?.set('pass');
    await untilWrites(server.control.url);
    log.recoveries.push({ fault: 'blackhole', ms: performance.now() - began });
  },

  async cut({ servers, random, untilWrites }, log) {
    const server = pick(servers, random);
    await server.starting;
    await sleep(random.upTo(CALM_MS));
    const began = performance.now();
    server.link?.cut();
    await untilWrites(server.control.url);
    log.recoveries.push({ fault: 'cut', ms: performance.now() - began });
  },

  async 'disk-full'({ servers, disk, random, untilWrites }, log) {
    await Promise.all(servers.map((server) => server.starting));
    await sleep(random.upTo(CALM_MS));
    disk?.fill();
    await sleep(random.upTo(MAX_OUTAGE_MS));
    await disk?.free();
    const began = performance.now();
    await Promise.all(servers.map((server) => untilWrites(server.control.url)));
    log.recoveries.push({ fault: 'disk-full', ms: performance.now() - began });
  },
};

/** Breaks something once, and waits until it is whole again. */
export async function inject(name: FaultName, context: FaultContext, log: FaultLog): Promise<void> {
  log.counts.set(name, (log.counts.get(name) ?? 0) + 1);
  if (isPlain(name)) await INJECT[name](context, log);
  else await crashAt(name, context, log);
}

/** What keeps this fault from being injected into this setting; undefined when nothing does. */
export function reasonAgainst(name: FaultName, setting: { readonly store: 'sqlite' | 'postgres' }): string | undefined {
  const isOfPostgres = name === 'pg-restart' || name === 'pg-kill' || name === 'blackhole' || name === 'cut';
  if (isOfPostgres && setting.store !== 'postgres') return `${name} needs --store postgres`;
  return name === 'disk-full' && setting.store !== 'sqlite' ? 'disk-full needs --store sqlite' : undefined;
}

async function outage(fault: FaultName, context: FaultContext, log: FaultLog, stop: (postgres: Postgres) => Promise<void>): Promise<void> {
  const { postgres, random, servers, untilWrites } = context;
  if (postgres === undefined) throw new Error(`${fault} without PostgreSQL`);
  await Promise.all(servers.map((server) => server.starting));
  await sleep(random.upTo(CALM_MS));
  await stop(postgres);
  await sleep(random.upTo(MAX_OUTAGE_MS));
  await postgres.start();
  const began = performance.now();
  await Promise.all(servers.map((server) => untilWrites(server.control.url)));
  log.recoveries.push({ fault, ms: performance.now() - began });
}

/** Gives one server a life that ends at the named point. */
async function crashAt(
  name: Exclude<FaultName, PlainFault>,
  { servers, random, maxPassage = MAX_PASSAGE }: FaultContext,
  log: FaultLog,
): Promise<void> {
  const server = pick(servers, random);
  log.readyMs.push((await server.starting) ?? Infinity);
  await server.control.kill('SIGKILL');
  const starting = server.control.start({ CLOISTER_TEST_CRASH_AT: `${name.slice('crash:'.length)}:${1 + random.whole(maxPassage)}` });
  if (!(await server.control.ended(PASSAGE_LIMIT_MS))) throw new Error(`the server did not come to ${name}`);
  await starting;
  restart(server);
}

function isPlain(name: FaultName): name is PlainFault {
  return PLAIN_FAULTS.some((plain) => plain === name);
}

function pick(servers: readonly TortureServer[], random: Random): TortureServer {
  const server = servers[random.whole(servers.length)];
  if (server === undefined) throw new Error('there is no server');
  return server;
}
