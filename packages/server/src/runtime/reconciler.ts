import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { RuntimeDriver, SandboxObservation, SandboxRef } from './driver.ts';

export interface ReconcilerDeps {
  readonly driver: RuntimeDriver;
  readonly installation: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** True for a sandbox that somebody here has or is making. */
  readonly isOwned: (ref: Pick<SandboxRef, 'sandbox'>) => boolean;
}

export interface Reconciler extends Service {
  /** One round now; answers how many sandboxes were removed. */
  reconcile(): Promise<number>;
}

const INTERVAL_MS = 10_000;

/**
 * Closes the gap between the sandboxes that should be and those that are, by label, for as long as the server
 * runs: what carries this installation's label and belongs to nobody is removed. Nothing else is looked at.
 */
export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const { driver, log } = deps;
  const watching = new AbortController();
  let cancel: () => void = () => undefined;
  let running: Promise<number> | undefined;
  let watch: Promise<void> | undefined;

  async function round(): Promise<number> {
    const seen = await driver.list({ installation: deps.installation });
    let removed = 0;
    for (const sandbox of seen) {
      // Asked one by one, just before the removal: it may have found its owner since the list was made.
      if (deps.isOwned(sandbox.ref)) continue;
      if (await removeOrphan(sandbox)) removed++;
    }
    return removed;
  }

  async function removeOrphan(sandbox: SandboxObservation): Promise<boolean> {
    const { ref, labels } = sandbox;
    try {
      await driver.remove(ref);
      const left = await driver.inspect(ref);
      if (left !== undefined) throw new Error(`still there, ${left.state}`);
      log.info({ sandbox: ref.sandbox, session: labels.session, state: sandbox.state }, 'removed an orphaned sandbox');
      return true;
    } catch (error) {
      log.warn({ err: error, sandbox: ref.sandbox }, 'an orphaned sandbox could not be removed; the next round tries again');
      return false;
    }
  }

  /** One round at a time. An engine that does not answer is the health check's to report; the next round comes. */
  function reconcile(): Promise<number> {
    running ??= round()
      .catch((error: unknown) => {
        log.warn({ err: error }, 'the sandboxes could not be reconciled');
        return 0;
      })
      .finally(() => {
        running = undefined;
      });
    return running;
  }

  return {
    name: 'reconciler',
    reconcile,
    async start() {
      await reconcile();
      cancel = deps.clock.every(INTERVAL_MS, () => void reconcile());
      watch = driver.watch({ installation: deps.installation }, () => void reconcile(), { signal: watching.signal }).catch((error: unknown) => {
        if (!watching.signal.aborted) log.warn({ err: error }, 'the engine\'s events cannot be watched; the rounds go on');
      });
    },
    async stop() {
      cancel();
      watching.abort();
      await Promise.all([running, watch]);
    },
  };
}
