import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { BudgetStore } from '../store/store.ts';

/** Knows which tenants have budgets, so that the calls of all others cost no look at the database. */
export interface BudgetWatch {
  has(tenantId: string): boolean;
  /** Something has changed here; resolves when it is known. Another server's changes are known within a poll. */
  refresh(): Promise<void>;
  start(): Promise<void>;
  stop(): void;
}

export interface BudgetWatchDeps {
  readonly budgets: Pick<BudgetStore, 'version' | 'tenants'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pollMs: number;
  /** Nobody else makes budgets. */
  readonly isSoleNode: boolean;
}

export function createBudgetWatch({ budgets, clock, log, pollMs, isSoleNode }: BudgetWatchDeps): BudgetWatch {
  let tenants: ReadonlySet<string> = new Set();
  let known = -1;
  let reading: Promise<void> = Promise.resolve();
  let cancel: (() => void) | undefined;

  async function read(): Promise<void> {
    // The version first: what changes while the tenants are read shows in the next look.
    const version = await budgets.version();
    if (version === known) return;
    tenants = await budgets.tenants();
    known = version;
  }

  function refresh(): Promise<void> {
    const done = reading.then(read);
    reading = done.catch(() => undefined);
    return done;
  }

  return {
    has: (tenantId) => tenants.has(tenantId),
    refresh,
    async start() {
      await refresh();
      if (isSoleNode) return;
      cancel ??= clock.every(pollMs, () => {
        refresh().catch((error: unknown) => log.warn({ err: error }, 'it could not be read who has budgets; what was known holds'));
      });
    },
    stop() {
      cancel?.();
      cancel = undefined;
    },
  };
}
