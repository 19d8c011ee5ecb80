import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { RuntimeDriver, SandboxObservation } from './driver.ts';

/**
 * Removes what nobody owns: sandboxes with this installation's label that no part of the server knows, left
 * by a crash or by a removal that failed. It looks at the start, when a sandbox ends, and every few seconds, and
 * takes nothing on trust: a sandbox counts as removed once the engine no longer shows it.
 *
 * A sandbox exists for a moment before its owner can know of it, so younger ones are left alone. What was there
 * before this server started has no such excuse.
 */
export interface Reconciler extends Service {
  /** Looks once, now; concurrent calls share one look. Never throws. */
  sweep(): Promise<void>;
  report(): ReconcilerReport;
}

export interface ReconcilerReport {
  readonly sweeps: number;
  readonly removed: number;
  /** Sweeps that could not list, and removals that did not remove. */
  readonly failures: number;
  /** By the clock; null before the first sweep that could list. */
  readonly lastSweepAt: number | null;
}

export interface ReconcilerOptions {
  readonly driver: RuntimeDriver;
  readonly installation: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** True for a sandbox that some part of the server uses or is about to use. Asked again just before a removal. */
  readonly isOwned: (seen: SandboxObservation) => boolean;
  readonly intervalMs?: number;
  readonly graceMs?: number;
}

const INTERVAL_MS = 10_000;
const GRACE_MS = 15_000;
/** Engines tell the time of creation in whole seconds, rounded down. */
const CREATION_PRECISION_MS = 1000;

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { driver, installation, clock, log } = options;
  const sweeper = createSweeper(options);
  let running: Promise<void> | undefined;
  let isWanted = false;
  let started: Promise<() => Promise<void>> | undefined;

  /** One sweep at a time; a wish during one makes one more after it, since that one may have looked too early. */
  function sweep(scope: SweepScope = {}): Promise<void> {
    isWanted = true;
    running ??= (async () => {
      while (isWanted && scope.signal?.aborted !== true) {
        isWanted = false;
        await sweeper.sweep(scope);
      }
      running = undefined;
    })();
    return running;
  }

  async function begin(): Promise<() => Promise<void>> {
    const controller = new AbortController();
    const { signal } = controller;
    const startedAt = clock.now();
    const again = () => void sweep({ startedAt, signal });
    const watching = driver.watch({ installation }, again, { signal }).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ err: error }, 'sandbox ends are not watched; orphans are still found by listing');
    });
    await sweep({ isFirst: true, startedAt, signal });
    const cancel = clock.every(options.intervalMs ?? INTERVAL_MS, again);
    return async () => {
      cancel();
      controller.abort();
      await Promise.all([running, watching]);
    };
  }

  return {
    name: 'reconciler',
    sweep: () => sweep(),
    report: sweeper.report,
    async start() {
      started ??= begin();
      await started;
    },
    async stop() {
      const stop = await started;
      started = undefined;
      await stop?.();
    },
  };
}

interface SweepScope {
  /** Nothing of this server's own making is there during the first sweep, so that one needs no grace. */
  readonly isFirst?: boolean;
  readonly startedAt?: number;
  readonly signal?: AbortSignal;
}

interface Sweeper {
  readonly sweep: (scope: SweepScope) => Promise<void>;
  readonly report: () => ReconcilerReport;
}

function createSweeper(options: ReconcilerOptions): Sweeper {
  const { driver, installation, clock, log, graceMs = GRACE_MS } = options;
  const report: { -readonly [K in keyof ReconcilerReport]: ReconcilerReport[K] } = {
    sweeps: 0,
    removed: 0,
    failures: 0,
    lastSweepAt: null,
  };

  const isOrphan = (seen: SandboxObservation, { isFirst, startedAt }: SweepScope): boolean => {
    if (options.isOwned(seen)) return false;
    const isFromBefore = startedAt !== undefined && seen.createdAt + CREATION_PRECISION_MS <= startedAt;
    return isFirst === true || isFromBefore || clock.now() - seen.createdAt > graceMs;
  };

  async function removeOrphan({ ref, state: was }: SandboxObservation, signal: AbortSignal | undefined): Promise<void> {
    const names = { sandbox: ref.sandbox, incarnation: ref.incarnation };
    try {
      await driver.remove(ref, { signal });
      if ((await driver.inspect(ref, { signal })) !== undefined) throw new Error('the engine still shows the sandbox after its removal');
      report.removed += 1;
      log.info({ ...names, was }, 'removed a sandbox that nobody owns');
    } catch (error) {
      if (signal?.aborted) return;
      report.failures += 1;
      log.warn({ ...names, err: error }, 'a sandbox that nobody owns could not be removed');
    }
  }

  return {
    report: () => ({ ...report }),
    async sweep(scope) {
      const { signal } = scope;
      try {
        const seen = await driver.list({ installation }, { signal });
        for (const one of seen) if (isOrphan(one, scope)) await removeOrphan(one, signal);
        report.sweeps += 1;
        report.lastSweepAt = clock.now();
      } catch (error) {
        if (signal?.aborted) return;
        report.failures += 1;
        log.warn({ err: error }, 'the sandboxes could not be listed; orphans wait for the next sweep');
      }
    },
  };
}
