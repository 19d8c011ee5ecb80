import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Refusals } from '../base/refusals.ts';
import type { Service } from '../base/service.ts';
import type { Store } from '../store/store.ts';

/**
 * Bounds what waits in the queue. It counts by the rows of a moment ago and by what this server has let in
 * since, so that no message pays for the counting; with several servers the bound is passed by at most what
 * they let in within one interval.
 */
export interface QueueAdmission extends Service {
  /** Lets messages in; throws `capacity_exhausted` or `overloaded` when too many wait already. */
  admit(tenantId: string, messages: number): void;
}

export interface QueueAdmissionOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly refusals: Refusals;
  readonly max: number;
  readonly maxPerTenant: number;
}

const INTERVAL_MS = 1000;
const RETRY_AFTER_MS = 5000;

export function createQueueAdmission({ store, clock, log, refusals, max, maxPerTenant }: QueueAdmissionOptions): QueueAdmission {
  let counted = new Tally();
  let since = new Tally();
  let cancel: () => void = () => undefined;
  let counting: Promise<void> | undefined;

  async function count(): Promise<void> {
    const before = since;
    since = new Tally();
    try {
      counted = new Tally(await store.turns.queuedByTenant());
    } catch (error) {
      for (const [tenantId, messages] of before.byTenant) since.add(tenantId, messages);
      log.debug({ err: error }, 'the queue could not be counted; the last count stays');
    }
  }

  /** One count at a time. */
  function refresh(): Promise<void> {
    counting ??= count().finally(() => {
      counting = undefined;
    });
    return counting;
  }

  return {
    name: 'queue admission',
    async start() {
      await refresh();
      cancel = clock.every(INTERVAL_MS, () => void refresh());
    },
    async stop() {
      cancel();
      await counting;
    },
    admit(tenantId, messages) {
      if (messages === 0) return;
      const refuse = (reason: 'queue' | 'tenant_queue', limit: number) =>
        refusals.refuse(reason, { detail: `${limit} messages wait already.`, retryAfterMs: RETRY_AFTER_MS });
      if (counted.of(tenantId) + since.of(tenantId) + messages > maxPerTenant) throw refuse('tenant_queue', maxPerTenant);
      if (counted.all + since.all + messages > max) throw refuse('queue', max);
      since.add(tenantId, messages);
    },
  };
}

class Tally {
  readonly byTenant: Map<string, number>;
  all = 0;

  constructor(byTenant: ReadonlyMap<string, number> = new Map()) {
    this.byTenant = new Map(byTenant);
    for (const number of byTenant.values()) this.all += number;
  }

  of(tenantId: string): number {
    return this.byTenant.get(tenantId) ?? 0;
  }

  add(tenantId: string, messages: number): void {
    this.byTenant.set(tenantId, this.of(tenantId) + messages);
    this.all += messages;
  }
}
