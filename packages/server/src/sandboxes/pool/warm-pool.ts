import type { Clock } from '../../base/clock.ts';
import { crashPoint } from '../../base/crash-points.ts';
import { PlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Logger } from '../../base/log.ts';
import type { Service } from '../../base/service.ts';
import type { AgentOptions, Harness } from '../../harness/harness.ts';
import type { SandboxRef, SleepPower } from '../../runtime/driver.ts';
import type { DesiredSandbox } from '../../runtime/vigil.ts';
import type { SessionRow, WarmStore } from '../../store/store.ts';
import type { OpenSandbox, OpenSandboxInput } from '../open-sandbox.ts';
import { beginRest, type ReclaimGate, type Rest, type SleepPolicy } from '../sleep.ts';
import type { StageLog } from '../stages.ts';
import { createArrivals, createDemand } from './demand.ts';
import type { WarmFiles } from './files.ts';
import { poolKey, type WarmTemplate } from './key.ts';
import { createPlan, type PlanDeps } from './plan.ts';
import { createTally, type MissReason, type WarmTally } from './tally.ts';

/** The places that the pool shares with the sandboxes of sessions. */
export interface PoolRoom {
  /** A place, if nobody waits for one and one more stays free. */
  takeFree(): boolean;
  give(): void;
  readonly reclaiming: ReclaimGate;
}

export interface WarmPoolDeps extends Pick<PlanDeps, 'load' | 'canPool'> {
  readonly open: (input: OpenSandboxInput) => Promise<OpenSandbox>;
  readonly store: WarmStore;
  readonly files: WarmFiles;
  readonly imageFor: (template: Pick<WarmTemplate, 'harness' | 'environment'>) => string;
  readonly isAlive: () => Promise<(nodeId: string) => boolean>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeId: string;
  readonly volumeId: string;
  /** So many stand ready at most. */
  readonly max: number;
  readonly policyOf: (environment: JsonObject) => SleepPolicy;
  readonly power?: SleepPower | undefined;
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
  /** An agent or an environment has changed, or a place is free. */
  refresh(): void;
}

interface Entry {
  readonly id: string;
  readonly sandboxId: string;
  readonly key: string;
  readonly template: WarmTemplate;
  readonly giveUp: AbortController;
  state: 'warming' | 'ready' | 'claimed' | 'gone';
  opening: Promise<OpenSandbox> | undefined;
  sandbox: OpenSandbox | undefined;
  rest: Rest | undefined;
  closing: Promise<void> | undefined;
  /** False once a session's sandbox stands in its place. */
  hasPlace: boolean;
}

/** Looks by itself this often: demand fades, and other servers change agents too. */
const INTERVAL_MS = 10_000;
/** The session that was just served has the processor first. */
const REFILL_MS = 1000;
const BACKOFF_MS = { first: 2000, most: 300_000 } as const;

export function createWarmPool(deps: WarmPoolDeps, room: PoolRoom): WarmPool {
  const { clock, log, store, nodeId } = deps;
  const entries = new Map<string, Entry>();
  const demand = createDemand();
  const tally = createTally();
  const plan = createPlan({ ...deps, keyOf, demand });
  const failures = new Map<string, { count: number; until: number }>();
  const timers = new Set<() => void>();
  const arrivals = createArrivals();
  let isStarted = false;
  let isClosed = false;
  let filling: Promise<void> | undefined;
  let isWanted = false;

  function keyOf(template: WarmTemplate): string {
    return poolKey(template, deps.imageFor(template));
  }

  /** Removes a sandbox that is no session's. Repeated calls wait for the first. */
  function drop(entry: Entry, why: string): Promise<void> {
    entry.closing ??= close(entry, why);
    return entry.closing;
  }

  async function close(entry: Entry, why: string): Promise<void> {
    entry.state = 'gone';
    entry.giveUp.abort(new PlatformError('sandbox_exited', { detail: 'It was given up before a session had it.' }));
    log.debug({ sandbox: entry.sandboxId, why }, 'a warm sandbox is removed');
    const quietly = (what: string) => (error: unknown) => log.warn({ err: error, sandbox: entry.sandboxId }, what);
    await entry.rest?.wake().catch(quietly('a warm sandbox was not awake at its end'));
    const sandbox = await entry.opening?.catch(() => undefined);
    // What could not be removed here the reconciler removes, and the sweep of the next start.
    await sandbox?.close().catch(quietly('a warm sandbox could not be stopped'));
    await deps.files.remove(entry.id).catch(quietly('the files of a warm sandbox could not be removed'));
    await store.remove({ id: entry.id }).catch(quietly('the row of a warm sandbox could not be removed'));
    entries.delete(entry.id);
    if (entry.hasPlace) room.give();
  }

  async function warm(key: string, template: WarmTemplate): Promise<void> {
    const entry = newEntry(key, template);
    entries.set(entry.id, entry);
    try {
      entry.opening = openAhead(deps, entry);
      const sandbox = await entry.opening;
      if (entry.closing !== undefined) return await entry.closing;
      if (!(await store.ready({ id: entry.id }))) throw new PlatformError('sandbox_exited', { detail: 'Its row is gone.' });
      if (entry.closing !== undefined) return await entry.closing;
      entry.sandbox = sandbox;
      entry.rest = rest(entry, sandbox);
      entry.state = 'ready';
      void sandbox.exited.then(() => lost(entry));
      failures.delete(key);
    } catch (error) {
      if (entry.closing === undefined) {
        failed(key);
        log.warn({ err: error, sandbox: entry.sandboxId }, 'a sandbox could not be opened ahead for the pool; it is tried again later');
      }
      await drop(entry, 'its start failed');
    }
  }

  function failed(key: string): void {
    tally.lost();
    const count = (failures.get(key)?.count ?? 0) + 1;
    failures.set(key, { count, until: clock.monotonic() + Math.min(BACKOFF_MS.first * 2 ** (count - 1), BACKOFF_MS.most) });
  }

  function lost(entry: Entry): void {
    if (entry.state !== 'ready') return;
    failed(entry.key);
    log.info({ sandbox: entry.sandboxId }, 'a warm sandbox has ended by itself');
    void drop(entry, 'it has ended').then(() => poke(REFILL_MS));
  }

  function rest(entry: Entry, { ref }: OpenSandbox): Rest {
    const { power } = deps;
    // It is the demand that ends it, not its age.
    const policy = { ...deps.policyOf(entry.template.environment), stopMs: undefined };
    return beginRest({ clock, log, power, policy, ref, stop: () => undefined, reclaiming: room.reclaiming });
  }

  async function fill(): Promise<void> {
    const wanted = await plan.read(clock.now());
    const left = new Map([...wanted].map(([key, { count }]) => [key, count]));
    for (const entry of entries.values()) {
      if (entry.closing !== undefined || entry.state === 'claimed') continue;
      const count = left.get(entry.key) ?? 0;
      if (count === 0) void drop(entry, 'it is wanted no more');
      else left.set(entry.key, count - 1);
    }
    for (const [key, { template }] of wanted)
      for (let missing = left.get(key) ?? 0; missing > 0; missing--) {
        if (isClosed || (failures.get(key)?.until ?? 0) > clock.monotonic()) break;
        if (!room.takeFree()) return;
        await warm(key, template);
      }
  }

  /** One round at a time; a wish during one makes one more after it. */
  function look(): void {
    isWanted = true;
    if (isClosed) return;
    filling ??= (async () => {
      while (isWanted && !isClosed) {
        isWanted = false;
        await fill().catch((error: unknown) => log.warn({ err: error }, 'the warm pool could not be looked after; it is tried again'));
      }
    })().finally(() => {
      filling = undefined;
    });
  }

  function poke(ms: number): void {
    if (isClosed) return;
    const cancel = clock.after(ms, () => {
      timers.delete(cancel);
      look();
    });
    timers.add(cancel);
  }

  async function handOver(entry: Entry, { session }: WarmRequest): Promise<OpenSandbox | undefined> {
    const began = clock.monotonic();
    const given = await giveTo(deps, entry, session).catch((error: unknown) => {
      log.warn({ err: error, sandbox: entry.sandboxId, session: session.id }, 'a warm sandbox could not be given to a session');
      return 'failed' as const;
    });
    poke(REFILL_MS);
    if (typeof given === 'string') {
      tally.miss(given);
      await drop(entry, `it was not handed over: ${given}`);
      return undefined;
    }
    tally.hit();
    entry.state = 'gone';
    entries.delete(entry.id);
    // Else it is swept with all of this server's.
    store.remove({ id: entry.id }).catch((error: unknown) => log.warn({ err: error }, 'the row of a claimed sandbox could not be removed'));
    const ms = Math.round(clock.monotonic() - began);
    deps.stages?.observe('handover', ms);
    return { ...given, stages: { handover: ms } };
  }

  return {
    name: 'warm pool',
    reserve(request) {
      const { session, harness, options } = request;
      if (isClosed || session.harnessSessionId !== null || !deps.canPool(session.environment)) return undefined;
      const { tenantId, agentId, agent, environmentId, environment } = session;
      const template = { tenantId, agentId, agent, environmentId, environment, harness, options };
      const key = keyOf(template);
      const isNew = arrivals.isNew(session.id);
      if (isNew) {
        demand.note(key, template, clock.now());
        plan.noteUse(template);
        poke(REFILL_MS);
      }
      const entry = [...entries.values()].find((one) => one.key === key && one.state === 'ready');
      if (entry === undefined) {
        if (isNew) tally.miss([...entries.values()].some((one) => one.key === key && one.state === 'warming') ? 'not_ready' : 'none');
        return undefined;
      }
      entry.state = 'claimed';
      entry.hasPlace = false;
      return { sandboxId: entry.sandboxId, handOver: () => handOver(entry, request) };
    },
    async giveWay() {
      const free = [...entries.values()].filter(({ hasPlace }) => hasPlace);
      const chosen = free.find(({ closing }) => closing === undefined) ?? free[0];
      if (chosen === undefined) return false;
      await drop(chosen, 'its place is needed');
      return true;
    },
    isOwned: (ref) => [...entries.values()].some((entry) => entry.sandboxId === ref.sandbox),
    list: () => [...entries.values()].flatMap(toInfo),
    desired: () => [...entries.values()].flatMap(toDesired),
    tally: tally.read,
    refresh: () => look(),
    async start() {
      if (isStarted || isClosed) return;
      isStarted = true;
      await store.sweep({ nodeId });
      await deps.files.sweep(await deps.isAlive());
      timers.add(clock.every(INTERVAL_MS, look));
      look();
    },
    async stop() {
      isClosed = true;
      for (const cancel of timers) cancel();
      const rests = [...entries.values()].filter(({ hasPlace }) => hasPlace);
      await Promise.all(rests.map((entry) => drop(entry, 'the server stops')));
      await filling;
    },
  };
}

async function openAhead({ open, store, files, clock, nodeId }: WarmPoolDeps, entry: Entry): Promise<OpenSandbox> {
  const { id, sandboxId, key, template, giveUp } = entry;
  const { tenantId, harness, options } = template;
  await store.add({ id, tenantId, key, nodeId, now: clock.now() });
  const session = { ...template, id, harnessSessionId: null };
  return open({ sandboxId, session, harness, options, signal: giveUp.signal, ahead: await files.ensure(id) });
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

function newEntry(key: string, template: WarmTemplate): Entry {
  return {
    id: newId('warm'),
    sandboxId: newId('sandbox'),
    key,
    template,
    giveUp: new AbortController(),
    state: 'warming',
    opening: undefined,
    sandbox: undefined,
    rest: undefined,
    closing: undefined,
    hasPlace: true,
  };
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
