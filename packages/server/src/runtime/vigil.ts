import { type Clock, delay } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { ExitReport, OutsideDeed, RuntimeDriver, SandboxObservation, SandboxRef } from './driver.ts';
import type { DesiredSandbox, VigilCounts } from './upkeep.ts';

export interface VigilOptions {
  readonly driver: RuntimeDriver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly desired: () => readonly DesiredSandbox[];
}

/**
 * Holds the sandboxes that should be there against those that are. An end is told by the sandbox's own connection, so
 * what is found here was missed there: each is looked at twice, a round apart, before it counts as lost.
 */
export interface Vigil {
  /** Somebody has paused it: one that should be awake is woken. Never rejects. */
  paused(ref: SandboxRef): Promise<void>;
  /** `wanted` was asked for before the listing was. */
  compare(wanted: readonly DesiredSandbox[], seen: readonly SandboxObservation[]): Promise<void>;
  counts(): VigilCounts;
}

/** The owner's own going to sleep and waking up are over by then. */
const SETTLE_MS = 300;

export function createVigil({ driver, clock, log, desired }: VigilOptions): Vigil {
  const counts = { resumed: 0, lost: 0 };
  const checking = new Set<string>();
  let missed: ReadonlySet<string> = new Set();

  const find = ({ handle }: SandboxRef): DesiredSandbox | undefined => desired().find(({ ref }) => ref.handle === handle);

  function lose({ ref, lose: tell }: DesiredSandbox, outside: OutsideDeed, exit?: ExitReport | null): void {
    counts.lost += 1;
    log.warn({ sandbox: ref.sandbox, outside }, 'a sandbox in use is lost');
    tell(exit ?? { exitCode: null, signal: null, isOutOfMemory: false, outside });
  }

  async function wake(ref: SandboxRef): Promise<void> {
    const isStill = async () => find(ref)?.isAwake === true && (await driver.inspect(ref))?.state === 'paused';
    if (!(await isStill())) return;
    await delay(clock, SETTLE_MS);
    if (!(await isStill())) return;
    try {
      await driver.sleep?.resume(ref);
      counts.resumed += 1;
      log.warn({ sandbox: ref.sandbox }, 'somebody has paused a sandbox in the midst of its work; it was resumed');
    } catch (error) {
      // Its end is told by its own connection.
      if (isPlatformError(error, 'sandbox_exited')) return;
      log.error({ err: error, sandbox: ref.sandbox }, 'a sandbox that somebody has paused could not be resumed');
      const wanted = find(ref);
      if (wanted !== undefined) lose(wanted, 'paused');
    }
  }

  async function paused(ref: SandboxRef): Promise<void> {
    if (checking.has(ref.handle)) return;
    checking.add(ref.handle);
    try {
      await wake(ref);
    } catch (error) {
      log.warn({ err: error, sandbox: ref.sandbox }, 'whether a sandbox was paused could not be found out; the next look tells');
    } finally {
      checking.delete(ref.handle);
    }
  }

  return {
    paused,
    async compare(wanted, seen) {
      const byHandle = new Map(seen.map((one) => [one.ref.handle, one]));
      const suspects = new Set<string>();
      for (const { ref, isAwake } of wanted) {
        const one = byHandle.get(ref.handle);
        if (one?.state === 'paused' && isAwake) await paused(ref);
        if (one !== undefined && one.state !== 'exited') continue;
        const still = find(ref);
        if (still === undefined) continue;
        if (!missed.has(ref.handle)) suspects.add(ref.handle);
        else lose(still, 'removed', one?.exit);
      }
      missed = suspects;
    },
    counts: () => ({ ...counts }),
  };
}
