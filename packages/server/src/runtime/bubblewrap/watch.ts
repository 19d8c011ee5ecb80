import { watch } from 'node:fs';
import type { ExitReport, SandboxRef } from '../driver.ts';
import type { BubblewrapContext } from './context.ts';
import { listSandboxes } from './observe.ts';

export type OnExit = (exit: { readonly ref: SandboxRef; readonly report: ExitReport }) => void;

/** How often it is looked for sandboxes whose supervisor was killed, which leave no word. */
const LOST_MS = 2000;

/** Tells of each exit record that appears from now on, whoever wrote it. Resolves when the signal is aborted. */
export async function watchSandboxes(
  bubblewrap: BubblewrapContext,
  installation: string,
  { onExit, signal }: { readonly onExit: OnExit; readonly signal: AbortSignal },
): Promise<void> {
  const { state, clock, closing, log } = bubblewrap;
  const stop = AbortSignal.any([signal, closing]);
  if (stop.aborted) return;
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  stop.addEventListener('abort', () => resolve(), { once: true });
  let seen: ReadonlySet<string> | undefined;
  const look = async (): Promise<void> => {
    const names = await state.exits.names();
    const fresh = seen === undefined ? [] : names.filter((name) => seen?.has(name) === false);
    seen = new Set(names);
    for (const name of fresh) {
      const ended = await state.exits.read(name);
      if (ended?.owner.labels.installation === installation && !stop.aborted) onExit({ ref: ended.owner.ref, report: ended.report });
    }
  };
  // One look at a time, in the order of the events.
  let last = Promise.resolve();
  const lookAgain = (before?: () => Promise<unknown>): void => {
    last = last
      .then(before)
      .then(look)
      .catch((error: unknown) => log.warn({ err: error }, 'the ends of sandboxes could not be read; looking again'));
  };
  const watcher = watch(state.exits.directory, { persistent: false }, () => lookAgain());
  watcher.on('error', (error) => log.warn({ err: error }, 'the ends of sandboxes are not announced any more; looking every few seconds'));
  lookAgain();
  const cancel = clock.every(LOST_MS, () => lookAgain(() => listSandboxes(bubblewrap, installation)));
  await stopped;
  cancel();
  watcher.close();
  await last;
}
