import type { DockerContext } from './context.ts';
import { unexpectedAnswer } from './failures.ts';
import { newHolderKey, openHolder } from './holders-container.ts';
import type { Bin, HolderSettings, State } from './holders-state.ts';
import { parseDefaults } from './wire.ts';

const AT_ONCE = 2;
const IDLE_MS = 10 * 60_000;
const FIRST_RETRY_MS = 2000;
const LONGEST_RETRY_MS = 60_000;

export interface Supply {
  /** A sandbox is being made: there may be more. */
  ask(): void;
  stop(): void;
}

export interface SupplyParts {
  readonly state: State;
  readonly bin: Bin;
  readonly closing: AbortSignal;
  /** How long after a sandbox was asked for the work begins. */
  readonly restMs: number;
}

/** Keeps as many ready as wanted. */
export function createSupply(docker: DockerContext, { size, image }: HolderSettings, parts: SupplyParts): Supply {
  const { state, bin, closing, restMs } = parts;
  const refills = createTimer(docker);
  const idleness = createTimer(docker);
  const drain = () => {
    state.isWanted = false;
    for (const holder of state.ready.splice(0)) bin.discard(holder, 0);
  };

  function refill(): void {
    while (state.isWanted && !closing.aborted && state.making < AT_ONCE && state.ready.length + state.making < size) {
      state.making += 1;
      bin.run(makeOne());
    }
  }

  async function makeOne(): Promise<void> {
    try {
      if ((await openOne(docker, { state, bin, image, closing, onEnd })) === 'pointless') drain();
      state.failures = 0;
    } catch (error) {
      onFailure(error);
    } finally {
      state.making -= 1;
      if (state.failures === 0) refill();
    }
  }

  /** It died, or the engine did: whoever was to get it gets another, or none. */
  function onEnd(key: string): void {
    const at = state.ready.findIndex((holder) => holder.key === key);
    for (const holder of at < 0 ? [] : state.ready.splice(at, 1)) bin.discard(holder, 0);
    if (at >= 0) refills.set(restMs, refill);
  }

  function onFailure(error: unknown): void {
    if (state.isWanted && !closing.aborted) refills.set(Math.min(FIRST_RETRY_MS * 2 ** state.failures, LONGEST_RETRY_MS), refill);
    state.failures += 1;
    const about = { err: error, image };
    // Once: sandboxes start as well without.
    if (state.failures === 1) docker.log.warn(about, 'no network namespace can be made ready; sandboxes start without one');
    else docker.log.debug(about, 'no network namespace can be made ready');
  }

  return {
    ask() {
      state.isWanted = true;
      idleness.clear();
      idleness.set(IDLE_MS, drain);
      refills.set(restMs, refill);
    },
    stop() {
      refills.clear();
      idleness.clear();
    },
  };
}

interface Opening {
  readonly state: State;
  readonly bin: Bin;
  readonly image: string;
  readonly closing: AbortSignal;
  readonly onEnd: (key: string) => void;
}

/** Adds one to those that are ready, unless it would be of no use. */
async function openOne(docker: DockerContext, { state, bin, image, closing, onEnd }: Opening): Promise<'opened' | 'pointless'> {
  const { owner } = state;
  if (owner === undefined || !(await areFaster(docker))) return 'pointless';
  const key = newHolderKey();
  state.keys.add(key);
  try {
    const holder = await openHolder(docker, { owner, key, image, onEnd: () => onEnd(key) });
    if (state.isWanted && !closing.aborted && holder.isAlive()) state.ready.push(holder);
    else bin.discard(holder, 0);
    return 'opened';
  } catch (error) {
    state.keys.delete(key);
    throw error;
  }
}

interface Timer {
  /** Nothing when it is set already. */
  set(ms: number, run: () => void): void;
  clear(): void;
}

function createTimer({ clock }: DockerContext): Timer {
  let cancel: (() => void) | undefined;
  return {
    set(ms, run) {
      cancel ??= clock.after(ms, () => {
        cancel = undefined;
        run();
      });
    },
    clear() {
      cancel?.();
      cancel = undefined;
    },
  };
}

/**
 * A runtime with a kernel of its own makes its own network all the same. With mapped users the user namespace would
 * come along with the network's.
 */
async function areFaster(docker: DockerContext): Promise<boolean> {
  const { quirks } = await docker.engine.address();
  const answer = await docker.engine.call({ method: 'GET', path: '/info' });
  if (answer.status !== 200) throw unexpectedAnswer('GET /info', answer);
  const { runtime, mapsUsers } = parseDefaults(answer.body);
  return quirks.fasterInNetworks.includes(runtime) && !mapsUsers;
}
