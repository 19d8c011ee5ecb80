import type { Clock } from '../base/clock.ts';
import { crashPoint } from '../base/crash-points.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { DeliveryRow, SettleInput, Store } from '../store/store.ts';
import type { Attempt, DeliverByKind } from './deliver.ts';
import { settlementOf } from './settlement.ts';
import { createSlowTargets, type SlowTargets } from './slow-targets.ts';

export interface OutboxWorkerDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeId: string;
  /** No other node exists, so whatever another one holds is held by nobody. */
  readonly isSoleNode: boolean;
  readonly deliver: DeliverByKind;
  readonly limits?: Partial<OutboxLimits>;
}

export interface OutboxLimits {
  readonly maxInFlight: number;
  /** So that a slow target leaves room for the others. */
  readonly maxPerTarget: number;
  /** Longer than any attempt takes. */
  readonly leaseMs: number;
  /** Targets that take longer than this share half of the room, until one of their attempts is quick again. */
  readonly slowMs: number;
}

const DEFAULT_LIMITS: OutboxLimits = { maxInFlight: 16, maxPerTarget: 2, leaseMs: 30_000, slowMs: 2000 };
/** How long nothing is looked for at most: other servers and dead leases do not wake this one. */
const POLL_MS = 5000;
const SETTLE_RETRY_MS = 1000;

/** What came of the attempts of this process, for the metrics. */
export type AttemptCounts = Readonly<Record<Attempt['outcome'], number>>;

/** Leases deliveries as they fall due and sends them, as many at once as there is room for. */
export class OutboxWorker implements Service {
  readonly name = 'outbox';
  private readonly deps: OutboxWorkerDeps;
  private readonly limits: OutboxLimits;
  private readonly inFlight = new Map<Promise<void>, string>();
  /** However many endpoints are dead or slow, the others find room. */
  private readonly slow: SlowTargets;
  private readonly stopped = new AbortController();
  private readonly counts: Record<Attempt['outcome'], number> = { sent: 0, refused: 0, unknown: 0, rejected: 0, returned: 0 };
  private state: 'new' | 'running' | 'stopped' = 'new';
  private leasing: Promise<void> | undefined;
  private isWoken = false;
  private cancelTimer: () => void = () => undefined;
  private undo: (() => void)[] = [];
  private stopping: Promise<void> | undefined;

  constructor(deps: OutboxWorkerDeps) {
    this.deps = deps;
    this.limits = { ...DEFAULT_LIMITS, ...deps.limits };
    this.slow = createSlowTargets(deps.clock, this.limits.slowMs);
  }

  async start(): Promise<void> {
    if (this.state !== 'new') return;
    this.state = 'running';
    const { store, nodeId, isSoleNode } = this.deps;
    if (isSoleNode) await store.outbox.takeOver({ nodeId });
    this.undo = [store.outbox.onAdded(() => this.wake())];
    this.wake();
  }

  /** Calls off what is being sent; it is handed back, and whoever runs next sends it. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  attempts(): AttemptCounts {
    return { ...this.counts };
  }

  private wake(): void {
    this.isWoken = true;
    if (this.state !== 'running' || this.leasing !== undefined || !this.hasRoom()) return;
    this.cancelTimer();
    this.leasing = this.leaseAll()
      .catch((error: unknown) => {
        this.deps.log.warn({ err: error }, 'looking for deliveries failed; it is tried again');
        return POLL_MS;
      })
      .then((nextMs) => {
        this.leasing = undefined;
        if (this.isWoken && this.hasRoom()) this.wake();
        else this.wakeIn(nextMs);
      });
  }

  private wakeIn(ms: number): void {
    this.cancelTimer();
    if (this.state === 'running') this.cancelTimer = this.deps.clock.after(ms, () => this.wake());
  }

  private hasRoom(): boolean {
    return this.inFlight.size < this.limits.maxInFlight;
  }

  /** Leases until there is no room or nothing due; returns when to look again. */
  private async leaseAll(): Promise<number> {
    const { store, clock, nodeId } = this.deps;
    const { maxInFlight, maxPerTarget, leaseMs } = this.limits;
    while (this.state === 'running' && this.hasRoom()) {
      this.isWoken = false;
      // Most times nothing is due, and then nothing is written.
      const except = this.passedBy();
      const waitMs = await store.outbox.dueInMs({ maxPerTarget, except });
      if (waitMs === undefined || waitMs > 0) return Math.min(waitMs ?? POLL_MS, POLL_MS);
      // One by one as long as slow ones may come: they have no more than their part of the room.
      const limit = this.slow.isEmpty() || except.length > 0 ? maxInFlight - this.inFlight.size : 1;
      const leased = await store.outbox.lease({ nodeId, leaseMs, limit, maxPerTarget, except, now: clock.now() });
      if (leased.length === 0) return POLL_MS;
      for (const delivery of leased) this.run(delivery);
    }
    return POLL_MS;
  }

  private run(delivery: DeliveryRow): void {
    const ended = this.slow.begin(delivery.targetId);
    const work = this.deliver(delivery).finally(() => {
      ended();
      this.inFlight.delete(work);
      this.wake();
    });
    this.inFlight.set(work, delivery.targetId);
  }

  /** The slow targets, when they have all the room they may have. */
  private passedBy(): readonly string[] {
    const busy = [...this.inFlight.values()].filter((targetId) => this.slow.has(targetId)).length;
    return busy < Math.ceil(this.limits.maxInFlight / 2) ? [] : this.slow.all();
  }

  private async deliver(delivery: DeliveryRow): Promise<void> {
    const attempt = await this.attempt(delivery);
    this.counts[attempt.outcome]++;
    crashPoint('outbox.after_send_before_mark');
    await this.settle(delivery, attempt);
  }

  private async attempt(delivery: DeliveryRow): Promise<Attempt> {
    const { signal } = this.stopped;
    if (signal.aborted) return { outcome: 'returned' };
    try {
      return await this.deps.deliver[delivery.kind](delivery, signal);
    } catch (error) {
      // The receiver is not to blame, and nothing has been sent to it.
      this.deps.log.error({ err: error, delivery: delivery.id }, 'a delivery could not be attempted');
      return { outcome: 'refused', status: null, error: 'The server could not attempt it.' };
    }
  }

  /** A store that does not answer is asked again as long as the lease lasts; after that the delivery is due again anyway. */
  private async settle(delivery: DeliveryRow, attempt: Attempt): Promise<void> {
    const { store, clock, log } = this.deps;
    const input = settlementOf(delivery, attempt, clock.now());
    const giveUpAt = clock.monotonic() + this.limits.leaseMs;
    for (;;) {
      try {
        await store.outbox.settle(input);
        this.note(delivery, input);
        return;
      } catch (error) {
        if (isPlatformError(error, 'lease_lost')) return log.info({ delivery: delivery.id }, 'a delivery was taken over or removed');
        if (this.stopped.signal.aborted || clock.monotonic() >= giveUpAt)
          return log.warn({ err: error, delivery: delivery.id }, 'the end of an attempt could not be written; it is made again');
        await this.pause(SETTLE_RETRY_MS);
      }
    }
  }

  private note({ id, targetId, eventType, attempt }: DeliveryRow, { result, health }: SettleInput): void {
    const { log } = this.deps;
    const fields = { delivery: id, target: targetId, eventType, attempt };
    if (result.kind === 'failed') log.warn({ ...fields, status: result.status, error: result.error }, 'a delivery failed for good');
    else if (result.kind === 'retry') log.debug({ ...fields, status: result.status, error: result.error }, 'a delivery is tried again');
    else log.debug(fields, `a delivery was ${result.kind}`);
    if (health === 'gone') log.warn(fields, 'the target is gone and was disabled');
  }

  /** Ends early when the worker is stopped. */
  private pause(ms: number): Promise<void> {
    const { signal } = this.stopped;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = () => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.deps.clock.after(ms, done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  private async shutDown(): Promise<void> {
    this.state = 'stopped';
    this.cancelTimer();
    for (const step of this.undo) step();
    this.stopped.abort();
    await this.leasing;
    await Promise.all(this.inFlight.keys());
  }
}
