import { type Clock, delay } from '../base/clock.ts';
import type { ExitReport, OutsideDeed } from '../runtime/driver.ts';

/** How long the reason may take after the streams broke: an end is told over a connection of its own. */
const REPORT_MS = 3000;

/** How a sandbox comes to its end, by whichever sign of it is first. */
export interface Loss {
  /** As the runtime tells it, or why it is of no use any more although it may still run. Never rejects. */
  readonly exited: Promise<ExitReport>;
  /** It is of no use any more. Harmless after its end. */
  lose(report: ExitReport): void;
}

/** `closed` is the end of the streams to the agent; a sandbox without them cannot be spoken to, whether or not it runs. */
export function watchLoss(input: { readonly exited: Promise<ExitReport>; readonly closed: Promise<void>; readonly clock: Clock }): Loss {
  const { promise: exited, resolve: lose } = Promise.withResolvers<ExitReport>();
  void input.exited.then(lose);
  void input.closed
    .catch(() => undefined) // However the streams ended, they did.
    .then(() => delay(input.clock, REPORT_MS))
    .then(() => lose({ exitCode: null, signal: null, isOutOfMemory: false, outside: 'disconnected' }));
  return { exited, lose };
}

/** What somebody did to a sandbox, in a sentence for whoever waits for its turn. */
export function describeDeed(deed: OutsideDeed, signal: string | null): string {
  const by = signal === null ? '' : ` (${signal})`;
  switch (deed) {
    case 'removed':
      return 'The container of the sandbox was removed from outside of Cloister.';
    case 'stopped':
      return `The container of the sandbox was stopped from outside of Cloister${by}.`;
    case 'killed':
      return `The container of the sandbox was killed from outside of Cloister${by}.`;
    case 'paused':
      return 'The container of the sandbox was paused from outside of Cloister and could not be resumed.';
    case 'disconnected':
      return 'The connection to the sandbox broke, as when the container engine stops.';
  }
}
