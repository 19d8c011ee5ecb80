import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { JsonObject } from '../base/json.ts';
import type { Logger } from '../base/log.ts';
import type { AgentOptions, Harness } from '../harness/harness.ts';
import type { SandboxRef, SleepPower } from '../runtime/driver.ts';
import type { DesiredSandbox } from '../runtime/upkeep.ts';
import type { SessionKey, SessionRow } from '../store/store.ts';
import { definitionOf, type Entry, freeOne, idleOf, newEntry, preparingOf } from './live-entry.ts';
import { abortable, type OpenSandbox, type OpenSandboxInput } from './open-sandbox.ts';
import type { PoolRoom } from './pool/stock.ts';
import type { WarmLease, WarmPool } from './pool/warm-pool.ts';
import { createRoom, type Room } from './room.ts';
import { beginRest, type ReclaimGate, type RestState, type SleepPolicy } from './sleep.ts';
import type { StageLog, Stages } from './stages.ts';

export interface LiveSandboxesDeps {
  readonly open: (input: OpenSandboxInput) => Promise<OpenSandbox>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly maxSandboxes: number;
  /** How deep the sandboxes of an environment sleep, and when. */
  readonly policyOf: (environment: JsonObject) => SleepPolicy;
  /** The runtime's power to let them sleep. */
  readonly power?: SleepPower | undefined;
  readonly stages?: StageLog | undefined;
  /** Makes the pool of sandboxes that stand ready; they share the room, and give way to all others. */
  readonly createPool?: ((room: PoolRoom) => WarmPool) | undefined;
  /** Asked for room when every sandbox is in use: makes one waiting turn give its sandbox up. False when none can. */
  readonly makeRoom: () => Promise<boolean>;
  /** The session has no sandbox here any more. */
  readonly onClosed?: ((session: SessionKey) => void) | undefined;
}

export interface LiveSandboxInfo {
  readonly sandboxId: string;
  readonly sessionId: string;
  readonly state: 'starting' | 'busy' | RestState | 'stopping';
  readonly stages: Stages;
  /** The OCI runtime it asked for; undefined is the engine's default. */
  readonly runtimeClass: string | undefined;
}

interface SandboxRequest {
  readonly session: SessionRow;
  readonly harness: Harness;
  readonly options: AgentOptions;
}

export interface AcquireInput extends SandboxRequest {
  readonly signal: AbortSignal;
  /** Gets what the stages took that this turn had to wait for. */
  readonly stages?: Stages | undefined;
}

export interface PrepareInput extends SandboxRequest {
  /** Asked once the room is there, before anything is made: false when the session is not ours to prepare. */
  readonly claim: () => Promise<boolean>;
}

/**
 * The sandboxes of this process, at most one per session. A sandbox is busy while a turn has it, and rests
 * after: it sleeps deeper with time and is stopped at last, or at once when another session needs the room. All that
 * live count against the room, also those that sleep, since they hold memory; and no session waits for one that rests.
 */
export interface LiveSandboxes {
  /** Those that stand ready for new sessions. */
  readonly pool: WarmPool | undefined;
  /** The session's live sandbox, awake, or a new one. The caller has it until `release` or `discard`. */
  acquire(input: AcquireInput): Promise<OpenSandbox>;
  /**
   * Opens the session's sandbox ahead of its first turn, when there is room enough to leave a place free. It gives way
   * as an idle one does, even while it starts. Resolves when it is there or not to be; never throws.
   */
  prepare(input: PrepareInput): Promise<void>;
  /** The turn is over; the sandbox waits for the next one. */
  release(sessionId: string): void;
  /** Stops the session's sandbox now, if there is one. Its turn, if there is one, fails `because` of that. */
  discard(sessionId: string, because?: PlatformError): Promise<void>;
  /** True for a sandbox this process made or is making: the reconciler leaves it alone. */
  isOwned(ref: Pick<SandboxRef, 'sandbox'>): boolean;
  list(): readonly LiveSandboxInfo[];
  /** Those that must be there on the engine, for the reconciler to hold against what is. */
  desired(): readonly DesiredSandbox[];
  /** The sessions whose sandbox no turn has. */
  idle(): readonly SessionKey[];
  /**
   * Stops those that no turn has: of all sessions or of some `only`. With `andLater` also each that a turn gives back
   * from now on.
   */
  discardIdle(input?: { readonly only?: readonly SessionKey[]; readonly andLater?: boolean }): Promise<void>;
  close(): Promise<void>;
}

/** Sandboxes that are opened ahead at the same time. */
const MAX_PREPARING = 2;
/** Places that are left for those who wait for nothing yet. */
const SPARE_PLACES = 1;

export function createLiveSandboxes(deps: LiveSandboxesDeps): LiveSandboxes {
  const shelf = createShelf(deps);
  const { entries, discardEntry } = shelf;
  let isDraining = false;
  const isSeenTo = ({ id }: SessionRow) => isDraining || entries.has(id) || shelf.waiting.has(id);
  return {
    acquire: createAcquire(deps, shelf),
    async prepare({ claim, ...request }) {
      const { session } = request;
      if (isSeenTo(session)) return;
      const warm = shelf.pool?.reserve(request);
      if (warm === undefined && !shelf.takeAhead()) {
        // One that stands ready for another gives way; by then this session's turn may have come.
        if (preparingOf(entries).length >= MAX_PREPARING || (await shelf.pool?.giveWay()) !== true) return;
        if (isSeenTo(session) || !shelf.takeAhead()) return;
      }
      const entry = newEntry(deps, session, warm);
      entry.idleSince = deps.clock.monotonic();
      const first = async (): Promise<void> => {
        if (!(await claim())) throw new PlatformError('sandbox_exited', { detail: 'The session is not to be prepared here.' });
      };
      try {
        const sandbox = await shelf.start(entry, { ...request, signal: entry.giveUp.signal }, { first, warm });
        if (!entry.isWanted && entry.closing === undefined) shelf.beginToRest(entry, sandbox);
      } catch (error) {
        // The turn makes its own, and tells what is wrong.
        deps.log.debug({ err: error, session: session.id }, 'a sandbox was not opened ahead');
      }
    },
    release(sessionId) {
      const entry = entries.get(sessionId);
      if (entry?.sandbox === undefined || entry.closing !== undefined) return;
      if (isDraining || entry.policy.endsWithTurn === true) return void discardEntry(entry);
      shelf.beginToRest(entry, entry.sandbox);
    },
    discard: async (sessionId, because) => {
      const entry = entries.get(sessionId);
      if (entry?.sandbox !== undefined) entry.sandbox.verdict ??= because;
      if (entry !== undefined) await discardEntry(entry);
    },
    pool: shelf.pool,
    isOwned: (ref) => shelf.pool?.isOwned(ref) === true || [...entries.values()].some((entry) => entry.sandboxId === ref.sandbox),
    list: () => [...entries.values()].map(toInfo),
    desired: () => [...[...entries.values()].flatMap(toDesired), ...(shelf.pool?.desired() ?? [])],
    idle: () => idleOf(entries).map(({ tenantId, sessionId }) => ({ tenantId, sessionId })),
    async discardIdle({ only, andLater = false } = {}) {
      isDraining ||= andLater;
      if (andLater) await shelf.pool?.stop();
      await Promise.all(idleOf(entries, only).map(discardEntry));
    },
    async close() {
      isDraining = true;
      await Promise.all([shelf.pool?.stop(), ...[...entries.values()].map(discardEntry)]);
    },
  };
}

/** How a sandbox is come by. */
interface Ways {
  /** Comes before a cold one is made. */
  readonly first?: () => Promise<void>;
  /** One that stands ready and is to be handed over. */
  readonly warm?: WarmLease | undefined;
}

/** The sandboxes there are, and what makes, rests and ends one. */
interface Shelf {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly room: Room;
  /** Sessions whose turn waits for a place. */
  readonly waiting: Set<string>;
  readonly pool: WarmPool | undefined;
  discardEntry(entry: Entry): Promise<void>;
  /** Takes a place for one that is opened ahead, and leaves one free; false when there is none. */
  takeAhead(): boolean;
  /** Makes the entry's sandbox, whose place in the room is taken. */
  start(entry: Entry, input: AcquireInput, ways?: Ways): Promise<OpenSandbox>;
  beginToRest(entry: Entry, sandbox: OpenSandbox): void;
}

function createShelf(deps: LiveSandboxesDeps): Shelf {
  const entries = new Map<string, Entry>();
  const reclaiming: ReclaimGate = { isBusy: false };
  const room: Room = createRoom({
    max: deps.maxSandboxes,
    free: async () => (await pool?.giveWay()) === true || freeOne(entries, discardEntry, deps.makeRoom),
  });
  const pool = deps.createPool?.({ takeFree: () => room.takeFree(SPARE_PLACES), give: room.give, reclaiming });

  function discardEntry(entry: Entry): Promise<void> {
    entry.closing ??= closeEntry(entry);
    return entry.closing;
  }

  function forget(entry: Entry): void {
    const { tenantId, sessionId } = entry;
    if (entries.get(sessionId) === entry) entries.delete(sessionId);
    room.give();
    if (!entries.has(sessionId)) deps.onClosed?.({ tenantId, sessionId });
  }

  async function closeEntry(entry: Entry): Promise<void> {
    entry.state = 'stopping';
    entry.giveUp.abort(new PlatformError('sandbox_exited', { detail: 'It was given up while it started.' }));
    try {
      // One that sleeps cannot leave by itself. Where it cannot be woken either, it is removed all the same.
      await entry.rest
        ?.wake()
        .catch((error: unknown) => deps.log.debug({ err: error, sandbox: entry.sandboxId }, 'it was not awake at its end'));
      const sandbox = await entry.opening?.catch(() => undefined);
      await sandbox?.close();
    } catch (error) {
      // The reconciler removes what could not be removed here.
      deps.log.warn({ err: error, sandbox: entry.sandboxId }, 'stopping a sandbox failed');
    } finally {
      forget(entry);
    }
  }

  return {
    entries,
    room,
    pool,
    waiting: new Set(),
    discardEntry,
    takeAhead: () => preparingOf(entries).length < MAX_PREPARING && room.takeFree(SPARE_PLACES),
    async start(entry, input, ways = {}) {
      entries.set(entry.sessionId, entry);
      const signal = AbortSignal.any([input.signal, entry.giveUp.signal]);
      const { session, harness, options } = input;
      entry.opening = come(entry, ways, () => deps.open({ session, harness, options, sandboxId: entry.sandboxId, signal }));
      try {
        const sandbox = await settleIn(entry, entry.opening);
        void sandbox.exited.then(() => discardEntry(entry));
        return sandbox;
      } catch (error) {
        await discardEntry(entry);
        throw error;
      }
    },
    beginToRest(entry, { ref }) {
      const { clock, log, power } = deps;
      entry.state = 'resting';
      entry.isWanted = false;
      entry.idleSince = clock.monotonic();
      entry.rest = beginRest({ clock, log, power, policy: entry.policy, ref, stop: () => void discardEntry(entry), reclaiming });
    },
  };
}

function createAcquire(deps: LiveSandboxesDeps, { entries, room, pool, waiting, discardEntry, start }: Shelf): LiveSandboxes['acquire'] {
  async function open(input: AcquireInput): Promise<OpenSandbox> {
    const began = deps.clock.monotonic();
    const warm = pool?.reserve(input);
    if (warm === undefined) {
      waiting.add(input.session.id);
      await room.take(input.signal).finally(() => waiting.delete(input.session.id));
      noteStage(deps, input, { stage: 'room', began });
    }
    const entry = newEntry(deps, input.session, warm);
    entry.isWanted = true;
    const sandbox = await start(entry, input, { warm });
    if (input.stages !== undefined) Object.assign(input.stages, sandbox.stages);
    return sandbox;
  }

  /** The entry's sandbox, awake, when it still is what the session asks for. */
  async function takeBack(entry: Entry, input: AcquireInput): Promise<OpenSandbox | undefined> {
    if (entry.closing !== undefined || entry.opening === undefined || entry.definition !== definitionOf(input.session)) return undefined;
    const isPreparing = entry.sandbox === undefined;
    if (isPreparing && entry.isWanted) return undefined;
    const began = deps.clock.monotonic();
    entry.isWanted = true;
    const { rest } = entry;
    entry.rest = undefined;
    if (!isPreparing) entry.state = 'busy';
    try {
      const sandbox = await abortable(entry.opening, input.signal);
      if (isPreparing) noteStage(deps, input, { stage: 'ready', began });
      else if (await rest?.wake()) noteStage(deps, input, { stage: 'wake', began });
      if (entry.closing === undefined) return sandbox;
    } catch (error) {
      if (input.signal.aborted && entry.sandbox === undefined) {
        // It goes on for the next turn.
        entry.isWanted = false;
        throw error;
      }
      deps.log.warn({ err: error, sandbox: entry.sandboxId }, 'a sandbox that was there cannot be used; making a new one');
    }
    return undefined;
  }

  return async (input) => {
    const entry = entries.get(input.session.id);
    const kept = entry === undefined ? undefined : await takeBack(entry, input);
    if (kept !== undefined) return kept;
    if (entry !== undefined) await discardEntry(entry);
    return open(input);
  };
}

/** The warm one, or else a cold one. */
async function come(entry: Entry, { warm, first }: Ways, open: () => Promise<OpenSandbox>): Promise<OpenSandbox> {
  const given = await warm?.handOver();
  if (given !== undefined) return given;
  if (warm !== undefined) entry.sandboxId = newId('sandbox');
  await first?.();
  return open();
}

async function settleIn(entry: Entry, opening: Promise<OpenSandbox>): Promise<OpenSandbox> {
  const sandbox = await opening;
  if (entry.closing !== undefined) throw new PlatformError('sandbox_exited', { detail: 'It was given up while it started.' });
  entry.sandbox = sandbox;
  entry.state = 'busy';
  return sandbox;
}

function noteStage(
  { clock, stages: log }: LiveSandboxesDeps,
  { stages }: AcquireInput,
  { stage, began }: { readonly stage: 'room' | 'ready' | 'wake'; readonly began: number },
): void {
  const ms = Math.round(clock.monotonic() - began);
  if (stages !== undefined) stages[stage] = ms;
  // What is left of a start that began ahead is no start.
  if (stage !== 'ready') log?.observe(stage, ms);
}

function toDesired({ sandbox, rest, closing }: Entry): readonly DesiredSandbox[] {
  if (sandbox === undefined || closing !== undefined) return [];
  return [{ ref: sandbox.ref, isAwake: rest?.isAwake() ?? true, lose: sandbox.lose }];
}

function toInfo({ sandboxId, sessionId, state, rest, sandbox }: Entry): LiveSandboxInfo {
  const shown = state === 'resting' ? (rest?.state() ?? 'idle') : state;
  return { sandboxId, sessionId, state: shown, stages: sandbox?.stages ?? {}, runtimeClass: sandbox?.runtimeClass };
}
