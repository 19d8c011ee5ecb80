import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Engine } from './engine.ts';

/** What each operation of the driver works with. */
export interface DockerContext {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborted when the driver is closed. */
  readonly closing: AbortSignal;
}
