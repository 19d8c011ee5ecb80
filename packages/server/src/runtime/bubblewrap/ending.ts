import { delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { BubblewrapContext } from './context.ts';
import { missingIsFine } from './files.ts';
import { findMain, findProcesses, signalProcess } from './processes.ts';
import { SIGKILL_CODE } from './records.ts';

const POLL_MS = 10;
/** The kernel kills at once; what takes longer hangs in the kernel itself. */
const KILL_LIMIT_MS = 15_000;

export async function stopSandbox(
  bubblewrap: BubblewrapContext,
  handle: string,
  { graceMs, signal }: { readonly graceMs: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const deadline = bubblewrap.clock.monotonic() + graceMs;
  let isAsked = false;
  for (;;) {
    signal?.throwIfAborted();
    const processes = await running(bubblewrap, handle);
    if (processes === undefined) return;
    if (!isAsked && processes.init !== undefined) {
      const main = await findMain(processes.init);
      isAsked = main !== undefined && signalProcess(main, 'SIGTERM');
      await thaw(bubblewrap, handle);
    }
    if (bubblewrap.clock.monotonic() >= deadline) break;
    await delay(bubblewrap.clock, POLL_MS, signal);
  }
  await killSandbox(bubblewrap, handle);
}

/** Kills every process of it; resolves when it has ended. */
export async function killSandbox(bubblewrap: BubblewrapContext, handle: string): Promise<void> {
  const { clock, limits } = bubblewrap;
  const deadline = clock.monotonic() + KILL_LIMIT_MS;
  for (;;) {
    const processes = await running(bubblewrap, handle);
    if (processes === undefined) break;
    // Before there is a process 1 all that runs is one process group; after, all goes with process 1.
    if (processes.init === undefined) signalProcess(-processes.supervisor, 'SIGKILL');
    else signalProcess(processes.init, 'SIGKILL');
    await thaw(bubblewrap, handle);
    if (clock.monotonic() > deadline) throw stuck();
    await delay(clock, POLL_MS);
  }
  if (limits === undefined) return;
  while (!(await limits.remove(handle))) {
    for (const pid of await limits.members(handle)) signalProcess(pid, 'SIGKILL');
    if (clock.monotonic() > deadline) throw stuck();
    await delay(clock, POLL_MS);
  }
}

/** A signal reaches a frozen process when it goes on, before anything else of it does. */
async function thaw({ limits }: BubblewrapContext, handle: string): Promise<void> {
  const freezer = limits?.freezer;
  if (freezer === undefined || !(await freezer.isFrozen(handle))) return;
  // It may have gone in between.
  await missingIsFine(freezer.set(handle, false));
}

function stuck(): PlatformError {
  return new PlatformError('runtime_unreachable', {
    detail: 'The kernel did not end the processes of a sandbox. Look at the load and the disks of the host.',
  });
}

/** Undefined when it never ran, has ended, or is gone. */
async function running(bubblewrap: BubblewrapContext, handle: string): ReturnType<typeof findProcesses> {
  if ((await bubblewrap.state.exits.read(handle)) !== undefined) return undefined;
  return findProcesses(bubblewrap, handle);
}

/** Kills and removes; resolves when nothing is left. */
export async function removeSandbox(bubblewrap: BubblewrapContext, handle: string): Promise<void> {
  const { state } = bubblewrap;
  const owner = await state.owner(handle);
  if (owner === undefined) return;
  // Nobody starts it any more.
  await state.claim(handle);
  await killSandbox(bubblewrap, handle);
  // Those who watch hear of it also when the supervisor was killed.
  if (await state.hasRun(handle)) await state.exits.settle(handle, owner, SIGKILL_CODE);
  await state.remove(handle);
}
