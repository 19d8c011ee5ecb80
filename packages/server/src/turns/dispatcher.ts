import { delay } from '../base/clock.ts';
import { crashPoint } from '../base/crash-points.ts';
import { PlatformError } from '../base/errors.ts';
import type { Service } from '../base/service.ts';
import { withWork } from '../base/work-context.ts';
import type { ConcurrencyCaps } from '../store/store.ts';
import { statusRunning } from './events.ts';
import { withMessageModel } from './message-model.ts';
import { type RecoveryDeps, recoverTurns } from './recovery.ts';
import { type RunDeps, TurnRun } from './run-turn.ts';

export interface DispatcherDeps extends Omit<RunDeps & RecoveryDeps, 'giveUp'> {
  readonly maxConcurrentTurns: number;
  readonly caps: ConcurrencyCaps;
  /** Where this node's sessions have their files; nodes that share it may take each other's sessions on. */
  readonly volumeId: string;
  readonly sweepMs: number;
  /** How long `stop` lets running turns finish before it hands them back. */
  readonly drainMs: number;
}

/** How long runs that were told to stop may wait for a database that does not answer. */
const GIVE_UP_MS = 5000;
/** The store's clock may be a little behind ours. */
const RETRY_MARGIN_MS = 20;

/** Leases turns and runs them, as many at once as there is room for. */
export class Dispatcher implements Service {
  readonly name = 'dispatcher';
  private readonly deps: DispatcherDeps & RunDeps;
  private readonly giveUp = new AbortController();
  private readonly runs = new Map<string, TurnRun>();
  private state: 'new' | 'running' | 'draining' | 'stopped' = 'new';
  private leasing: Promise<void> | undefined;
  private isWoken = false;
  /** Something is ready for all we know, so that it is worth more than a look. */
  private isSure = false;
  private cancelSweep: () => void = () => undefined;
  private stopping: Promise<void> | undefined;

  constructor(deps: DispatcherDeps) {
    this.deps = { ...deps, giveUp: this.giveUp.signal };
  }

  async start(): Promise<void> {
    if (this.state !== 'new') return;
    const recovered = await recoverTurns(this.deps, { isSoleNode: this.deps.isSoleNode, held: [] });
    if (recovered > 0) this.deps.log.info({ turns: recovered }, 'settled the turns of the last run');
    this.state = 'running';
    this.cancelSweep = this.deps.clock.every(this.deps.sweepMs, () => void this.sweep());
    this.wake();
  }

  stop(): Promise<void> {
    this.stopping ??= this.state === 'new' ? Promise.resolve() : this.drain();
    return this.stopping;
  }

  /** There may be something to lease. */
  wake(): void {
    this.isWoken = true;
    if (this.state !== 'running' || this.leasing !== undefined) return;
    // Whoever wakes it, a request perhaps: what is leased is not part of that.
    this.leasing = withWork({ fields: {} }, () => this.leaseAll())
      .catch((error: unknown) => this.deps.log.error({ err: error }, 'leasing failed; the sweep tries again'))
      .finally(() => {
        this.leasing = undefined;
        if (this.isWoken && this.hasRoom()) this.wake();
      });
  }

  /** That turn of the session was asked to stop. */
  interrupt(sessionId: string, turnId: string): void {
    const run = this.runs.get(sessionId);
    if (run?.token.turnId === turnId) run.interrupt();
    // One that nobody ran has ended, and what was behind it may be ready.
    else this.wake();
  }

  /** Another server has committed a `user.interrupt` of the session, for whichever of its turns. */
  interrupted(sessionId: string): void {
    this.runs.get(sessionId)?.askWhetherToStop();
  }

  /** A `user.message` of the session was committed. */
  messaged(sessionId: string): void {
    this.runs.get(sessionId)?.followUp();
    this.isSure = true;
    this.wake();
  }

  /** Another server has committed a `user.message` of the session, and may lease its turn itself. */
  messagedElsewhere(sessionId: string): void {
    this.runs.get(sessionId)?.followUp();
    this.wake();
  }

  /** The session's turn was made to ask about its budget. */
  asked(sessionId: string): void {
    this.runs.get(sessionId)?.asked();
  }

  /** A question of the session was answered or has expired: a turn that was parked with it may be ready. */
  confirmed(sessionId: string): void {
    const run = this.runs.get(sessionId);
    if (run === undefined) this.wake();
    else run.confirmed();
  }

  /** Makes one turn that waits for an approval give its sandbox up; false when none waits. */
  async makeRoom(): Promise<boolean> {
    const waiting = [...this.runs.values()].find((run) => run.isWaiting());
    if (waiting === undefined) return false;
    waiting.park();
    await waiting.done;
    return true;
  }

  isAccepting(): boolean {
    return this.state === 'new' || this.state === 'running';
  }

  private async leaseAll(): Promise<void> {
    const { clock, store, nodeId, volumeId, leaseMs, caps } = this.deps;
    const place = { nodeId, volumeId, caps };
    while (this.state === 'running' && this.hasRoom()) {
      this.isWoken = false;
      const { isSure } = this;
      this.isSure = false;
      if (!isSure && !(await store.turns.hasReady(place))) return;
      const now = clock.now();
      const leased = await store.turns.lease({ ...place, leaseMs, running: statusRunning(now), now });
      if (leased === undefined) return;
      crashPoint('lease.after_commit');
      this.deps.tally?.lease('taken');
      const run = new TurnRun(this.deps, withMessageModel(leased));
      this.runs.set(run.sessionId, run);
      void run.done.then(() => {
        this.runs.delete(run.sessionId);
        this.wake();
        const retryInMs = run.retriesIn();
        if (retryInMs !== undefined) clock.after(retryInMs + RETRY_MARGIN_MS, () => this.wake());
      });
    }
  }

  private hasRoom(): boolean {
    let busy = 0;
    for (const run of this.runs.values()) if (!run.isWaiting()) busy++;
    return busy < this.deps.maxConcurrentTurns;
  }

  private async sweep(): Promise<void> {
    try {
      const held = [...this.runs.values()].map(({ token }) => token.turnId);
      await recoverTurns(this.deps, { isSoleNode: false, held });
    } catch (error) {
      this.deps.log.warn({ err: error }, 'the sweep failed; it comes again');
    }
    this.wake();
  }

  private async drain(): Promise<void> {
    this.state = 'draining';
    this.cancelSweep();
    await this.leasing;
    const all = () => Promise.all([...this.runs.values()].map((run) => run.done));
    for (const run of this.runs.values()) if (run.isWaiting()) run.handBack();
    await Promise.race([all(), delay(this.deps.clock, this.deps.drainMs)]);
    for (const run of this.runs.values()) run.handBack();
    await Promise.race([all(), delay(this.deps.clock, GIVE_UP_MS)]);
    this.giveUp.abort(new PlatformError('draining', { detail: 'The server has to end, and the database does not answer.' }));
    await all();
    this.state = 'stopped';
  }
}
