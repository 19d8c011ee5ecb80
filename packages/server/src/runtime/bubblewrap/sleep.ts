import { delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { memoryGroup } from '../cgroup.ts';
import type { CallOptions, SandboxRef, SleepPower } from '../driver.ts';
import type { BubblewrapContext } from './context.ts';
import type { Freezer } from './limits.ts';
import { observe } from './observe.ts';
import { findProcesses } from './processes.ts';

const POLL_MS = 5;
const FREEZE_LIMIT_MS = 10_000;

/** Holding still is the kernel's freezer; undefined where it cannot be had. */
export function sleepPower(bubblewrap: BubblewrapContext): SleepPower | undefined {
  const freezer = bubblewrap.limits?.freezer;
  if (freezer === undefined) return undefined;
  const requireAlive = async (ref: SandboxRef, signal: AbortSignal | undefined): Promise<void> => {
    signal?.throwIfAborted();
    const seen = await observe(bubblewrap, ref.handle);
    if (seen?.state !== 'running' && seen?.state !== 'paused')
      throw new PlatformError('sandbox_exited', { detail: `The sandbox ${ref.sandbox} is not running.` });
    signal?.throwIfAborted();
  };
  const groupOf = async (ref: SandboxRef, options: CallOptions | undefined) => {
    await requireAlive(ref, options?.signal);
    const init = (await findProcesses(bubblewrap, ref.handle))?.init;
    return init === undefined ? undefined : memoryGroup(init, ref.handle);
  };
  return {
    async pause(ref, options) {
      await requireAlive(ref, options?.signal);
      await freeze(bubblewrap, freezer, ref.handle);
    },
    async resume(ref, options) {
      await requireAlive(ref, options?.signal);
      await freezer.set(ref.handle, false);
    },
    reclaim: async (ref, options) => (await groupOf(ref, options))?.reclaim(),
    memory: async (ref, options) => (await groupOf(ref, options))?.usage(),
  };
}

/** The kernel stops one process after the other. */
async function freeze({ clock }: BubblewrapContext, freezer: Freezer, handle: string): Promise<void> {
  const deadline = clock.monotonic() + FREEZE_LIMIT_MS;
  await freezer.set(handle, true);
  while (!(await freezer.isFrozen(handle))) {
    if (clock.monotonic() > deadline) {
      await freezer.set(handle, false);
      throw new PlatformError('runtime_unreachable', {
        detail: 'The kernel did not hold the processes of a sandbox still. Look at the load of the host.',
      });
    }
    await delay(clock, POLL_MS);
  }
}
