import { crashPoint } from '../../base/crash-points.ts';
import type { Service } from '../../base/service.ts';
import type { AgentOptions, Harness } from '../../harness/harness.ts';
import type { SandboxRef } from '../../runtime/driver.ts';
import type { DesiredSandbox } from '../../runtime/upkeep.ts';
import type { SessionRow, WarmStore } from '../../store/store.ts';
import type { OpenSandbox } from '../open-sandbox.ts';
import type { StageLog } from '../stages.ts';
import { createArrivals, createDemand, type Demand } from './demand.ts';
import { createBackoff, createFiller, type Filler } from './filler.ts';
import { poolKey, type WarmTemplate } from './key.ts';
import { createPlan, type Plan, type PlanDeps } from './plan.ts';
import { type Claims, createClaims, reportPool, type WarmEnvironment } from './report.ts';
import { createStock, type Entry, type PoolRoom, type Stock, type StockDeps } from './stock.ts';
import { createTally, type MissReason, type Tally, type WarmTally } from './tally.ts';

export interface WarmPoolDeps extends Omit<StockDeps, 'store'>, Pick<PlanDeps, 'load' | 'canPool'> {
  readonly store: WarmStore;
  readonly imageFor: (template: Pick<WarmTemplate, 'harness' | 'environment'>) => string;
  readonly isAlive: () => Promise<(nodeId: string) => boolean>;
  readonly volumeId: string;
  /** So many stand ready at most. */
  readonly max: number;
  readonly stages?: StageLog | undefined;
}

export interface WarmRequest {
  readonly session: SessionRow;
  readonly harness: Harness;
  readonly options: AgentOptions;
}

/** A sandbox that is kept for one session, with its place in the room, which is the caller's from now on. */
export interface WarmLease {
  readonly sandboxId: string;
  /** Undefined when it cannot be; the sandbox is gone by then, and the place still the caller's. Never throws. */
  handOver(): Promise<OpenSandbox | undefined>;
}

export interface WarmInfo {
  readonly sandboxId: string;
  readonly tenantId: string;
  readonly state: 'warming' | 'ready' | 'paused' | 'hibernated' | 'claimed';
}

/**
 * Sandboxes that were started, and their conversation opened, before there is a session for them. Each is for one tenant,
 * one agent and one environment as they are now, is given to one session, and never comes back.
 */
export interface WarmPool extends Service {
  /** The one that is ready for such a session. Each request counts as a session that came. */
  reserve(request: WarmRequest): WarmLease | undefined;
  /** Gives up the oldest one that nobody has claimed, and waits until it is gone; false when there is none. */
  giveWay(): Promise<boolean>;
  isOwned(ref: Pick<SandboxRef, 'sandbox'>): boolean;
  list(): readonly WarmInfo[];
  /** Those that must be there on the engine. */
  desired(): readonly DesiredSandbox[];
  tally(): WarmTally;
  /** What of it is this tenant's. */
  report(tenantId: string): readonly WarmEnvironment[];
  /** An agent or an environment has changed, or a place is free. */
  refresh(): void;
}

/** Looks by itself this often: demand fades, and other servers change agents too. */
const INTERVAL_MS = 10_000;
/** The session that was just served has the processor first. */
const REFILL_MS = 1000;

export function createWarmPool(deps: WarmPoolDeps, room: PoolRoom): WarmPool {
  const { clock, log, store, nodeId } = deps;
  const demand = createDemand();
  const tally = createTally();
  const claims = createClaims();
  const backoff = createBackoff(clock);
  const keyOf = (template: WarmTemplate) => poolKey(template, deps.imageFor(template));
  const plan = createPlan({ ...deps, keyOf, demand });
  const stock = createStock(deps, room, (key) => {
    tally.lost();
    backoff.failed(key);
    filler.lookAfter(REFILL_MS);
  });
  const filler = createFiller({ stock, plan, room, backoff, clock, log });
  const all = () => [...stock.entries.values()];
  let state: 'new' | 'started' | 'stopped' = 'new';

  return {
    name: 'warm pool',
    reserve: createReserve({ deps, stock, tally, claims, filler, plan, demand, keyOf }, () => state === 'stopped'),
    async giveWay() {
      const free = all().filter(({ hasPlace }) => hasPlace);
      const chosen = free.find(({ closing }) => closing === undefined) ?? free[0];
      if (chosen === undefined) return false;
      await stock.drop(chosen, 'its place is needed');
      return true;
    },
    isOwned: (ref) => all().some((entry) => entry.sandboxId === ref.sandbox),
    list: () => all().flatMap(toInfo),
    desired: () => all().flatMap(toDesired),
    tally: tally.read,
    report: (tenantId) => reportPool(tenantId, { wanted: filler.wanted(), entries: stock.entries.values(), claims }),
    refresh: filler.look,
    async start() {
      if (state !== 'new') return;
      state = 'started';
      await store.sweep({ nodeId });
      await deps.files.sweep(await deps.isAlive());
      filler.lookEvery(INTERVAL_MS);
      filler.look();
    },
    async stop() {
      state = 'stopped';
      filler.stop();
      const unclaimed = all().filter(({ hasPlace }) => hasPlace);
      await Promise.all(unclaimed.map((entry) => stock.drop(entry, 'the server stops')));
      await filler.settled();
    },
  };
}

interface Reserving extends HandOver {
  readonly filler: Filler;
  readonly plan: Plan;
  readonly demand: Demand;
  readonly keyOf: (template: WarmTemplate) => string;
}

function createReserve(parts: Reserving, isStopped: () => boolean): WarmPool['reserve'] {
  const { deps, stock, tally, filler, plan, demand, keyOf } = parts;
  const arrivals = createArrivals();

  /** A session has come: true the first time. */
  function arrived(session: SessionRow, key: string, template: WarmTemplate): boolean {
    if (!arrivals.isNew(session.id)) return false;
    demand.note(key, template, deps.clock.now());
    plan.noteUse(template);
    filler.lookAfter(REFILL_MS);
    return true;
  }

  return ({ session, harness, options }) => {
    if (isStopped() || session.harnessSessionId !== null || !deps.canPool(session.environment)) return undefined;
    // What is mounted when it is opened cannot be added later.
    if (session.resources.length > 0) return undefined;
    const { tenantId, agentId, agent, environmentId, environment } = session;
    const template = { tenantId, agentId, agent, environmentId, environment, harness, options };
    const key = keyOf(template);
    const isNew = arrived(session, key, template);
    const same = [...stock.entries.values()].filter((entry) => entry.key === key);
    const entry = same.find((one) => one.state === 'ready');
    if (entry === undefined) {
      if (isNew) tally.miss(same.some((one) => one.state === 'warming') ? 'not_ready' : 'none');
      return undefined;
    }
    entry.state = 'claimed';
    entry.hasPlace = false;
    const handOver = () => handOverTo(parts, entry, session).finally(() => filler.lookAfter(REFILL_MS));
    return { sandboxId: entry.sandboxId, handOver };
  };
}

interface HandOver {
  readonly deps: WarmPoolDeps;
  readonly stock: Stock;
  readonly tally: Tally;
  readonly claims: Claims;
}

async function handOverTo({ deps, stock, tally, claims }: HandOver, entry: Entry, session: SessionRow): Promise<OpenSandbox | undefined> {
  const { clock, log, stages } = deps;
  const began = clock.monotonic();
  const given = await giveTo(deps, entry, session).catch((error: unknown) => {
    log.warn({ err: error, sandbox: entry.sandboxId, session: session.id }, 'a warm sandbox could not be given to a session');
    return 'failed' as const;
  });
  if (typeof given === 'string') {
    tally.miss(given);
    await stock.drop(entry, `it was not handed over: ${given}`);
    return undefined;
  }
  tally.hit();
  claims.note(entry.template);
  stock.handOut(entry);
  const ms = Math.round(clock.monotonic() - began);
  stages?.observe('handover', ms);
  return { ...given, stages: { handover: ms } };
}

/** First the row, then the rest: whoever dies in between leaves a session that has a place, and begins anew. */
async function giveTo(
  { store, files, nodeId, volumeId }: WarmPoolDeps,
  { id, key, sandbox, rest }: Entry,
  session: SessionRow,
): Promise<OpenSandbox | MissReason> {
  if (sandbox === undefined) return 'failed';
  const claim = { id, tenantId: session.tenantId, key, nodeId, volumeId, sessionId: session.id };
  const [isClaimed] = await Promise.all([store.claim(claim), rest?.wake()]);
  if (!isClaimed) return 'refused';
  crashPoint('warm.after_claim');
  if (!(await files.handOver(id, session.id))) return 'files';
  await sandbox.assign(session.id);
  return sandbox;
}

function toDesired({ state, sandbox, rest }: Entry): readonly DesiredSandbox[] {
  if (state !== 'ready' || sandbox === undefined) return [];
  return [{ ref: sandbox.ref, isAwake: rest?.isAwake() ?? true, lose: sandbox.lose }];
}

function toInfo({ sandboxId, template: { tenantId }, state, rest }: Entry): readonly WarmInfo[] {
  if (state === 'gone') return [];
  const depth = rest?.state() ?? 'idle';
  return [{ sandboxId, tenantId, state: state === 'ready' && depth !== 'idle' ? depth : state }];
}
