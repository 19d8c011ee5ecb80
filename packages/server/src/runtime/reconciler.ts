import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { RuntimeDriver, SandboxObservation, SandboxRef } from './driver.ts';
import type { DesiredSandbox, ReconcilerReport, Remnant, Residue, ResidueLook } from './upkeep.ts';
import { createVigil, type Vigil } from './vigil.ts';

/**
 * Keeps what is there to what should be there. It removes what nobody owns: sandboxes with this installation's label
 * that no part of the server knows, left by a crash or by a removal that failed, and then whatever else of a dead server
 * the `residues` find. It looks at the start, when a sandbox ends, and every few seconds, and takes nothing on trust: a
 * sandbox counts as removed once the engine no longer shows it. The other way round it tells of sandboxes that should
 * be there and are not, and wakes those that somebody else has paused; see `vigil.ts`.
 *
 * A sandbox exists for a moment before its owner can know of it, so younger ones are left alone. What was there
 * before this server started has no such excuse.
 */
export interface Reconciler extends Service {
  /** Looks once, now; concurrent calls share one look. Never throws. */
  sweep(): Promise<void>;
  report(): ReconcilerReport;
}

export interface ReconcilerOptions {
  readonly driver: RuntimeDriver;
  readonly installation: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** True for a sandbox that some part of the server uses or is about to use. Asked again just before a removal. */
  readonly isOwned: (seen: SandboxObservation) => boolean;
  /** The sandboxes of this server that must be there and run; none are watched when left out. */
  readonly desired?: () => readonly DesiredSandbox[];
  /** In the order in which they are swept, after the sandboxes. */
  readonly residues?: readonly Residue[];
  readonly intervalMs?: number;
  readonly graceMs?: number;
}

const INTERVAL_MS = 10_000;
const GRACE_MS = 15_000;
/** Engines tell the time of creation in whole seconds, rounded down. */
const CREATION_PRECISION_MS = 1000;
const SANDBOXES = 'sandboxes';

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { driver, installation, clock, log, desired = () => [] } = options;
  const vigil = createVigil({ driver, clock, log, desired });
  const sweeper = createSweeper(options, vigil);
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
    const onPaused = (ref: SandboxRef) => void vigil.paused(ref);
    const watching = driver.watch({ installation }, again, { signal, onPaused }).catch((error: unknown) => {
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

function createSweeper(options: ReconcilerOptions, vigil: Vigil): Sweeper {
  const { driver, installation, clock, log, residues = [], desired = () => [], graceMs = GRACE_MS } = options;
  const seen: { sweeps: number; lastSweepAt: number | null } = { sweeps: 0, lastSweepAt: null };
  const kinds = new Map([SANDBOXES, ...residues.map(({ name }) => name)].map((name) => [name, { removed: 0, failures: 0 }]));

  function count(kind: string, what: 'removed' | 'failures'): void {
    const counts = kinds.get(kind);
    if (counts !== undefined) counts[what] += 1;
  }

  const isOld = ({ isFirst, startedAt }: SweepScope, createdAt: number): boolean => {
    const isFromBefore = startedAt !== undefined && createdAt + CREATION_PRECISION_MS <= startedAt;
    return isFirst === true || isFromBefore || clock.now() - createdAt > graceMs;
  };

  async function removeOrphan({ ref, state: was }: SandboxObservation, signal: AbortSignal | undefined): Promise<boolean> {
    const names = { sandbox: ref.sandbox, incarnation: ref.incarnation };
    try {
      await driver.remove(ref, { signal });
      if ((await driver.inspect(ref, { signal })) !== undefined) throw new Error('the engine still shows the sandbox after its removal');
      count(SANDBOXES, 'removed');
      log.info({ ...names, was }, 'removed a sandbox that nobody owns');
      return true;
    } catch (error) {
      if (signal?.aborted) return false;
      count(SANDBOXES, 'failures');
      log.warn({ ...names, err: error }, 'a sandbox that nobody owns could not be removed');
      return false;
    }
  }

  /** Answers the sandboxes that are left. */
  async function sweepSandboxes(found: readonly SandboxObservation[], scope: SweepScope): Promise<ReadonlySet<string>> {
    const left = new Set<string>();
    for (const one of found) {
      const isOrphan = !options.isOwned(one) && isOld(scope, one.createdAt);
      if (!isOrphan || !(await removeOrphan(one, scope.signal))) left.add(one.ref.sandbox);
    }
    return left;
  }

  return {
    report: () => ({ ...seen, ...vigil.counts(), kinds: new Map([...kinds].map(([name, counts]) => [name, { ...counts }])) }),
    async sweep(scope) {
      const { signal } = scope;
      try {
        const wanted = desired();
        const found = await driver.list({ installation }, { signal });
        const left = await sweepSandboxes(found, scope);
        const look = { inUse: left, isOld: (createdAt: number) => isOld(scope, createdAt), signal };
        for (const residue of residues) await sweepResidue(residue, look, { log, count });
        await vigil.compare(wanted, found);
        seen.sweeps += 1;
        seen.lastSweepAt = clock.now();
      } catch (error) {
        if (signal?.aborted) return;
        count(SANDBOXES, 'failures');
        log.warn({ err: error }, 'the sandboxes could not be listed; orphans wait for the next sweep');
      }
    },
  };
}

/** Finds and removes one kind of what dead servers left; whatever fails is counted, and met again on the next sweep. */
async function sweepResidue(
  residue: Residue,
  look: ResidueLook,
  { log, count }: { readonly log: Logger; readonly count: (kind: string, what: 'removed' | 'failures') => void },
): Promise<void> {
  const { signal } = look;
  const { name: kind } = residue;
  const tried = async (run: () => Promise<void>, words: string, remnant?: Remnant) => {
    try {
      signal?.throwIfAborted();
      await run();
    } catch (error) {
      if (signal?.aborted) return;
      count(kind, 'failures');
      log.warn({ err: error, kind, remnant: remnant?.id }, words);
    }
  };
  const remove = async (remnant: Remnant): Promise<void> => {
    await residue.remove(remnant, { signal });
    count(kind, 'removed');
    log.info({ kind, remnant: remnant.id }, 'removed what a dead server left');
  };
  await tried(async () => {
    for (const remnant of await residue.list(look))
      await tried(() => remove(remnant), 'something that a dead server left could not be removed', remnant);
  }, 'what a dead server left could not be listed');
}
