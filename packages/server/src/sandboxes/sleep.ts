import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { SandboxRef, SleepPower } from '../runtime/driver.ts';

/** How long after its last turn a sandbox is paused, gives its memory back, and is stopped; undefined for never. */
export interface SleepPolicy {
  readonly pauseMs: number | undefined;
  readonly hibernateMs: number | undefined;
  readonly stopMs: number | undefined;
  /** It does not rest at all: it is removed when its turn has ended. */
  readonly endsWithTurn?: boolean | undefined;
}

export type RestState = 'idle' | 'paused' | 'hibernated';

/** The rest of one sandbox between two turns: it sleeps deeper with time. */
export interface Rest {
  state(): RestState;
  /** Nothing has been asked of it that could have paused it. */
  isAwake(): boolean;
  /** Ends the rest. Resolves when the sandbox works again: true when it had slept. Throws when it cannot be woken. */
  wake(): Promise<boolean>;
}

export interface RestDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Undefined where sandboxes cannot sleep: they stay awake until they are stopped. */
  readonly power: SleepPower | undefined;
  readonly policy: SleepPolicy;
  readonly ref: SandboxRef;
  readonly stop: () => void;
  /** Shared by all sandboxes. */
  readonly reclaiming: ReclaimGate;
}

/** Giving memory back keeps a thread busy for seconds, so one sandbox at a time does. */
export interface ReclaimGate {
  isBusy: boolean;
}

const GATE_RETRY_MS = 1000;

export function beginRest({ clock, log, power, policy, ref, stop, reclaiming }: RestDeps): Rest {
  const timers: (() => void)[] = [];
  let state: RestState = 'idle';
  /** Set before the call: one whose answer was lost may have paused it. */
  let mayBePaused = false;
  let isOver = false;
  let step: Promise<void> = Promise.resolve();

  function after(ms: number | undefined, run: () => void): void {
    if (ms !== undefined) timers.push(clock.after(ms, run));
  }

  function take(what: string, run: (asleep: SleepPower) => Promise<void>): void {
    if (power === undefined || isOver) return;
    step = step
      .then(() => (isOver ? undefined : run(power)))
      // One that has ended is noticed by its exit; any other stays as it is, and is stopped in its time.
      .catch((error: unknown) => log.warn({ err: error, sandbox: ref.sandbox }, `a sandbox could not be ${what}`));
  }

  async function pause(asleep: SleepPower): Promise<void> {
    if (state !== 'idle') return;
    mayBePaused = true;
    await asleep.pause(ref);
    state = 'paused';
  }

  async function hibernate(asleep: SleepPower): Promise<void> {
    await pause(asleep);
    if (isOver) return;
    if (reclaiming.isBusy) return after(GATE_RETRY_MS, () => take('hibernated', hibernate));
    reclaiming.isBusy = true;
    try {
      const bytes = await asleep.reclaim(ref);
      if (bytes === undefined) return;
      state = 'hibernated';
      log.debug({ sandbox: ref.sandbox, bytes }, 'an idle sandbox gave its memory back');
    } finally {
      reclaiming.isBusy = false;
    }
  }

  after(policy.pauseMs, () => take('paused', pause));
  after(policy.hibernateMs, () => take('hibernated', hibernate));
  after(policy.stopMs, stop);
  return {
    state: () => state,
    isAwake: () => !mayBePaused,
    async wake() {
      isOver = true;
      for (const cancel of timers) cancel();
      await step;
      if (!mayBePaused || power === undefined) return false;
      await power.resume(ref);
      state = 'idle';
      return true;
    },
  };
}
