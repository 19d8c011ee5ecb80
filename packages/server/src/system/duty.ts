import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { DutyStore } from '../store/store.ts';

export interface DutyDeps {
  readonly name: string;
  readonly duties: DutyStore;
  readonly nodeId: string;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Does the duty until the signal is aborted; one that ends by itself is begun again, on whichever node is first. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** Tries per lease: one may fail. */
const TRIES_PER_LEASE = 3;
/** The part of a lease that is left to whoever has to stop. */
const MARGIN = 1 / 6;

/**
 * Something that exactly one node does for all, under a lease. The lease is counted by the monotonic clock from
 * before it was asked for, so it ends here sooner than in the store: whoever cannot extend it has stopped by the
 * time another node may begin.
 */
export function createDuty(deps: DutyDeps): Service {
  const { name, duties, nodeId, leaseMs, clock, log } = deps;
  const key = { name, nodeId };
  let cancelTicks: (() => void) | undefined;
  let cancelAlarm: () => void = () => undefined;
  let asking: Promise<void> | undefined;
  let current: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  let isStopped = false;

  function begin(): void {
    const abort = new AbortController();
    const done = work(abort.signal).finally(() => {
      current = undefined;
      cancelAlarm();
    });
    current = { abort, done };
  }

  async function work(signal: AbortSignal): Promise<void> {
    try {
      await deps.run(signal);
    } catch (error) {
      if (!signal.aborted) log.error({ err: error, duty: name }, 'a duty failed; it is begun again');
    }
    // While it is aborted the lease is another's, or `stop` gives it up.
    if (!signal.aborted) await giveUp(deps);
  }

  function lose(why: string): void {
    if (current === undefined || current.abort.signal.aborted) return;
    log.warn({ duty: name }, why);
    current.abort.abort(new Error(why));
  }

  async function ask(): Promise<void> {
    const began = clock.monotonic();
    const isHeld = await duties.hold({ ...key, leaseMs });
    if (!isHeld) return lose('another node has taken this duty over');
    const left = began + leaseMs * (1 - MARGIN) - clock.monotonic();
    if (isStopped || left <= 0 || current?.abort.signal.aborted === true) return;
    if (current === undefined) begin();
    cancelAlarm();
    cancelAlarm = clock.after(left, () => lose('the lease on this duty could not be extended in time'));
  }

  function tick(): void {
    asking ??= ask()
      .catch((error: unknown) => log.warn({ err: error, duty: name }, 'the lease on a duty could not be asked for'))
      .finally(() => {
        asking = undefined;
      });
  }

  return {
    name: `duty ${name}`,
    async start() {
      if (cancelTicks !== undefined || isStopped) return;
      cancelTicks = clock.every(leaseMs / TRIES_PER_LEASE, tick);
      tick();
    },
    async stop() {
      if (isStopped || cancelTicks === undefined) {
        isStopped = true;
        return current?.done;
      }
      isStopped = true;
      cancelTicks();
      current?.abort.abort(new Error('the server stops'));
      await asking;
      await current?.done;
      cancelAlarm();
      await giveUp(deps);
    },
  };
}

async function giveUp({ duties, name, nodeId, log }: DutyDeps): Promise<void> {
  try {
    await duties.release({ name, nodeId });
  } catch (error) {
    log.warn({ err: error, duty: name }, 'a duty could not be given up; its lease runs out');
  }
}
