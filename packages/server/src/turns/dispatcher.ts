import { delay } from '../base/clock.ts';
import type { Service } from '../base/service.ts';
import { statusRunning } from './events.ts';
import { type RecoveryDeps, recoverTurns } from './recovery.ts';
import { type ActiveRun, type RunDeps, startRun } from './run-turn.ts';

export interface DispatcherDeps extends RunDeps, RecoveryDeps {
  readonly maxConcurrentTurns: number;
  /** How long `stop` lets running turns finish before it hands them back. */
  readonly drainMs: number;
}

/** Leases turns and runs them, as many at once as there is room for. */
export interface Dispatcher extends Service {
  /** There may be something to lease. */
  wake(): void;
  /** A `user.interrupt` of the session was committed. */
  interrupt(sessionId: string): void;
  /** A `user.tool_confirmation` of the session was committed. */
  confirmed(sessionId: string): void;
  /** Makes one turn that waits for an approval give its sandbox up; false when none waits. */
  makeRoom(): Promise<boolean>;
  isAccepting(): boolean;
}

/** How often turns with a dead lease are looked for. */
const SWEEP_MS = 5000;

export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const runs = new Map<string, ActiveRun>();
  let state: 'new' | 'running' | 'draining' | 'stopped' = 'new';
  let pump: Promise<void> | undefined;
  let isWoken = false;
  let cancelSweep: () => void = () => undefined;
  let stopping: Promise<void> | undefined;

  function wake(): void {
    isWoken = true;
    if (state !== 'running' || pump !== undefined) return;
    pump = leaseAll()
      .catch((error: unknown) => deps.log.error({ err: error }, 'leasing failed; the sweep tries again'))
      .finally(() => {
        pump = undefined;
        if (isWoken && state === 'running' && hasRoom()) wake();
      });
  }

  async function leaseAll(): Promise<void> {
    while (state === 'running' && hasRoom()) {
      isWoken = false;
      const now = deps.clock.now();
      const leased = await deps.store.turns.lease({ nodeId: deps.nodeId, leaseUntil: now + deps.leaseMs, running: statusRunning(now), now });
      if (leased === undefined) return;
      const run = startRun(deps, leased);
      runs.set(leased.session.id, run);
      void run.done.then(() => {
        runs.delete(leased.session.id);
        wake();
      });
    }
  }

  const hasRoom = (): boolean => [...runs.values()].filter((run) => !run.isWaiting()).length < deps.maxConcurrentTurns;

  async function sweep(): Promise<void> {
    try {
      await recoverTurns(deps, { isSoleNode: false });
    } catch (error) {
      deps.log.warn({ err: error }, 'the sweep failed; it comes again');
    }
    wake();
  }

  async function drain(): Promise<void> {
    state = 'draining';
    cancelSweep();
    await pump;
    const all = () => Promise.all([...runs.values()].map((run) => run.done));
    for (const run of runs.values()) if (run.isWaiting()) run.handBack();
    await Promise.race([all(), delay(deps.clock, deps.drainMs)]);
    for (const run of runs.values()) run.handBack();
    await all();
    state = 'stopped';
  }

  return {
    name: 'dispatcher',
    async start() {
      if (state !== 'new') return;
      const recovered = await recoverTurns(deps, { isSoleNode: true });
      if (recovered > 0) deps.log.info({ turns: recovered }, 'settled the turns of the last run');
      state = 'running';
      cancelSweep = deps.clock.every(SWEEP_MS, () => void sweep());
      wake();
    },
    stop() {
      stopping ??= state === 'new' ? Promise.resolve() : drain();
      return stopping;
    },
    wake,
    interrupt: (sessionId) => runs.get(sessionId)?.interrupt(),
    confirmed(sessionId) {
      runs.get(sessionId)?.confirmed();
      wake();
    },
    async makeRoom() {
      const waiting = [...runs.values()].find((run) => run.isWaiting());
      if (waiting === undefined) return false;
      waiting.park();
      await waiting.done;
      return true;
    },
    isAccepting: () => state === 'running',
  };
}
