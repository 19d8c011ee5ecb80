import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { AgentOptions, Harness } from '../harness/harness.ts';
import type { SandboxRef } from '../runtime/driver.ts';
import type { SessionKey, SessionRow } from '../store/store.ts';
import type { OpenSandbox, OpenSandboxInput } from './open-sandbox.ts';
import { createRoom } from './room.ts';

export interface LiveSandboxesDeps {
  readonly open: (input: OpenSandboxInput) => Promise<OpenSandbox>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly maxSandboxes: number;
  readonly idleMs: number;
  /** Asked for room when every sandbox is in use: makes one waiting turn give its sandbox up. False when none can. */
  readonly makeRoom: () => Promise<boolean>;
  /** The session has no sandbox here any more. */
  readonly onClosed?: ((session: SessionKey) => void) | undefined;
}

export interface LiveSandboxInfo {
  readonly sandboxId: string;
  readonly sessionId: string;
  readonly state: 'starting' | 'busy' | 'idle' | 'stopping';
  readonly stages: Readonly<Record<string, number>>;
}

interface Entry {
  readonly sandboxId: string;
  readonly sessionId: string;
  readonly tenantId: string;
  readonly definition: string;
  state: LiveSandboxInfo['state'];
  opening: Promise<OpenSandbox> | undefined;
  sandbox: OpenSandbox | undefined;
  idleSince: number;
  cancelIdle: () => void;
  closing: Promise<void> | undefined;
}

/**
 * The sandboxes of this process, at most one per session. A sandbox is busy while a turn has it, idle
 * after; the idle are stopped after a while, or at once when another session needs the room.
 */
export interface LiveSandboxes {
  /** The session's live sandbox, or a new one. The caller has it until `release` or `discard`. */
  acquire(input: { session: SessionRow; harness: Harness; options: AgentOptions; signal: AbortSignal }): Promise<OpenSandbox>;
  /** The turn is over; the sandbox waits for the next one. */
  release(sessionId: string): void;
  /** Stops the session's sandbox now, if there is one. */
  discard(sessionId: string): Promise<void>;
  /** True for a sandbox this process made or is making: the reconciler leaves it alone. */
  isOwned(ref: Pick<SandboxRef, 'sandbox'>): boolean;
  list(): readonly LiveSandboxInfo[];
  /** The sessions whose sandbox no turn has. */
  idle(): readonly SessionKey[];
  /**
   * Stops those that no turn has: of all sessions or of some `only`. With `andLater` also each that a turn gives back
   * from now on.
   */
  discardIdle(input?: { readonly only?: readonly SessionKey[]; readonly andLater?: boolean }): Promise<void>;
  close(): Promise<void>;
}

export function createLiveSandboxes(deps: LiveSandboxesDeps): LiveSandboxes {
  const entries = new Map<string, Entry>();
  const room = createRoom({ max: deps.maxSandboxes, free: () => freeOne(entries, discardEntry, deps.makeRoom) });
  let isDraining = false;

  const discardEntry = (entry: Entry): Promise<void> => (entry.closing ??= closeEntry(entry));

  function forget(entry: Entry): void {
    const { tenantId, sessionId } = entry;
    if (entries.get(sessionId) === entry) entries.delete(sessionId);
    room.give();
    if (!entries.has(sessionId)) deps.onClosed?.({ tenantId, id: sessionId });
  }

  async function closeEntry(entry: Entry): Promise<void> {
    entry.state = 'stopping';
    entry.cancelIdle();
    try {
      const sandbox = await entry.opening?.catch(() => undefined);
      await sandbox?.close();
    } catch (error) {
      // The reconciler removes what could not be removed here.
      deps.log.warn({ err: error, sandbox: entry.sandboxId }, 'stopping a sandbox failed');
    } finally {
      forget(entry);
    }
  }

  async function open(input: Parameters<LiveSandboxes['acquire']>[0], definition: string): Promise<OpenSandbox> {
    await room.take(input.signal);
    const entry = newEntry(input.session, definition);
    entries.set(entry.sessionId, entry);
    entry.opening = deps.open({ ...input, sandboxId: entry.sandboxId });
    try {
      const sandbox = await settleIn(entry, entry.opening);
      void sandbox.exited.then(() => discardEntry(entry));
      return sandbox;
    } catch (error) {
      await discardEntry(entry);
      throw error;
    }
  }

  return {
    async acquire(input) {
      const definition = JSON.stringify([input.session.agent, input.session.environment]);
      const entry = entries.get(input.session.id);
      const kept = entry === undefined ? undefined : takeBack(entry, definition);
      if (kept !== undefined) return kept;
      if (entry !== undefined) await discardEntry(entry);
      return open(input, definition);
    },
    release(sessionId) {
      const entry = entries.get(sessionId);
      if (entry === undefined || entry.closing !== undefined) return;
      if (isDraining) return void discardEntry(entry);
      entry.state = 'idle';
      entry.idleSince = deps.clock.monotonic();
      entry.cancelIdle = deps.clock.after(deps.idleMs, () => void discardEntry(entry));
    },
    discard: async (sessionId) => {
      const entry = entries.get(sessionId);
      if (entry !== undefined) await discardEntry(entry);
    },
    isOwned: (ref) => [...entries.values()].some((entry) => entry.sandboxId === ref.sandbox),
    list: () => [...entries.values()].map(toInfo),
    idle: () => idleOf(entries).map(({ tenantId, sessionId }) => ({ tenantId, id: sessionId })),
    async discardIdle({ only, andLater = false } = {}) {
      isDraining ||= andLater;
      await Promise.all(idleOf(entries, only).map(discardEntry));
    },
    async close() {
      await Promise.all([...entries.values()].map(discardEntry));
    },
  };
}

async function settleIn(entry: Entry, opening: Promise<OpenSandbox>): Promise<OpenSandbox> {
  const sandbox = await opening;
  if (entry.closing !== undefined) throw new PlatformError('sandbox_exited', { detail: 'It was given up while it started.' });
  entry.sandbox = sandbox;
  entry.state = 'busy';
  return sandbox;
}

/** Stops a sandbox that no turn has, or waits for one that is being stopped, or for a turn that can wait without. */
async function freeOne(
  entries: ReadonlyMap<string, Entry>,
  discard: (entry: Entry) => Promise<void>,
  makeRoom: () => Promise<boolean>,
): Promise<boolean> {
  const [idle] = idleOf(entries).sort((a, b) => a.idleSince - b.idleSince);
  const chosen = idle ?? [...entries.values()].find((entry) => entry.closing !== undefined);
  if (chosen === undefined) return makeRoom();
  await discard(chosen);
  return true;
}

/** The entry's sandbox, when it still is what the session asks for. */
function takeBack(entry: Entry, definition: string): OpenSandbox | undefined {
  if (entry.sandbox === undefined || entry.closing !== undefined || entry.definition !== definition) return undefined;
  entry.cancelIdle();
  entry.state = 'busy';
  return entry.sandbox;
}

function idleOf(entries: ReadonlyMap<string, Entry>, only?: readonly SessionKey[]): Entry[] {
  const chosen = only === undefined ? [...entries.values()] : only.flatMap(({ id }) => entries.get(id) ?? []);
  return chosen.filter((entry) => entry.state === 'idle');
}

function newEntry(session: SessionRow, definition: string): Entry {
  return {
    sandboxId: newId('sandbox'),
    sessionId: session.id,
    tenantId: session.tenantId,
    definition,
    state: 'starting',
    opening: undefined,
    sandbox: undefined,
    idleSince: 0,
    cancelIdle: () => undefined,
    closing: undefined,
  };
}

function toInfo(entry: Entry): LiveSandboxInfo {
  return { sandboxId: entry.sandboxId, sessionId: entry.sessionId, state: entry.state, stages: entry.sandbox?.stages ?? {} };
}
