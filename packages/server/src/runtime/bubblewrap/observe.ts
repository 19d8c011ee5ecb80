import type { SandboxObservation } from '../driver.ts';
import type { BubblewrapContext } from './context.ts';
import { findProcesses } from './processes.ts';
import { type Owner, SIGKILL_CODE } from './records.ts';

/** A start that did not get as far as a process within this time never will: its server is dead. */
const START_LIMIT_MS = 60_000;

export async function observe(bubblewrap: BubblewrapContext, handle: string): Promise<SandboxObservation | undefined> {
  const { state } = bubblewrap;
  const owner = await state.owner(handle);
  if (owner === undefined) return undefined;
  const { ref, labels, createdAt } = owner;
  const seen = (now: SandboxObservation['state'], exit: SandboxObservation['exit'] = null) => ({
    ref,
    labels,
    createdAt,
    state: now,
    exit,
  });
  const claimedAt = await state.claimedAt(handle);
  if (claimedAt === undefined) return seen('created');
  const ended = await state.exits.read(handle);
  if (ended !== undefined) return seen('exited', ended.report);
  if ((await findProcesses(bubblewrap, handle)) !== undefined)
    return seen((await bubblewrap.limits?.freezer?.isFrozen(handle)) === true ? 'paused' : 'running');
  return seenLost(bubblewrap, handle, { owner, claimedAt, seen });
}

interface Lost {
  readonly owner: Owner;
  readonly claimedAt: number;
  readonly seen: (now: SandboxObservation['state'], exit?: SandboxObservation['exit']) => SandboxObservation;
}

/** Nothing runs and nothing says why: it is about to start, it has just ended, or its supervisor was killed and with it all of it. */
async function seenLost(
  { state, clock }: BubblewrapContext,
  handle: string,
  { owner, claimedAt, seen }: Lost,
): Promise<SandboxObservation> {
  const wasRunning = await state.hasRun(handle);
  const just = await state.exits.read(handle);
  if (just !== undefined) return seen('exited', just.report);
  if (!wasRunning && clock.now() - claimedAt < START_LIMIT_MS) return seen('created');
  await state.exits.settle(handle, owner, SIGKILL_CODE);
  return seen('exited', (await state.exits.read(handle))?.report ?? null);
}

export async function listSandboxes(
  bubblewrap: BubblewrapContext,
  installation: string,
  signal?: AbortSignal,
): Promise<SandboxObservation[]> {
  const found: SandboxObservation[] = [];
  for (const handle of await bubblewrap.state.names()) {
    signal?.throwIfAborted();
    const owner = await bubblewrap.state.owner(handle);
    if (owner?.labels.installation !== installation) continue;
    const seen = await observe(bubblewrap, handle);
    if (seen !== undefined) found.push(seen);
  }
  return found;
}
