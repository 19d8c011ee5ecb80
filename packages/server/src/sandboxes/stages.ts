import type { STAGES } from '@cloister/api';
import type { Clock } from '../base/clock.ts';

export type Stage = (typeof STAGES)[number];

/** Milliseconds by stage. */
export type Stages = Partial<Record<Stage, number>>;

/** Told of every stage that was gone through, for the metrics. */
export interface StageLog {
  observe(stage: Stage, ms: number): void;
  listen(listener: (stage: Stage, ms: number) => void): void;
}

export function createStageLog(): StageLog {
  const listeners: ((stage: Stage, ms: number) => void)[] = [];
  return {
    observe(stage, ms) {
      for (const listener of listeners) listener(stage, ms);
    },
    listen: (listener) => void listeners.push(listener),
  };
}

/** Measures stages that follow each other without a gap. */
export interface StageTimer {
  readonly stages: Stages;
  readonly current: () => Stage;
  /** Ends the stage that was, and begins this one. */
  enter(stage: Stage): void;
  /** Ends the last one. */
  end(): void;
}

export function createStageTimer(first: Stage, { clock, log }: { readonly clock: Clock; readonly log: StageLog | undefined }): StageTimer {
  const stages: Stages = {};
  let current = first;
  let began = clock.monotonic();
  function end(): void {
    const now = clock.monotonic();
    const ms = Math.round(now - began);
    stages[current] = ms;
    log?.observe(current, ms);
    began = now;
  }
  return {
    stages,
    current: () => current,
    enter(stage) {
      end();
      current = stage;
    },
    end,
  };
}
