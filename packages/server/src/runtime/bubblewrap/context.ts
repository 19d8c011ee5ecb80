import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { HostSystem } from './arguments.ts';
import type { Limits } from './limits.ts';
import type { Spawn } from './spawn.ts';
import type { StateDirectory } from './state.ts';

/** What each operation of the driver works with. */
export interface BubblewrapContext {
  readonly state: StateDirectory;
  readonly system: HostSystem;
  /** Undefined where there are no control groups to be had. */
  readonly limits: Limits | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Starts our scripts. */
  readonly spawn: Spawn;
  /** Aborted when the driver is closed. */
  readonly closing: AbortSignal;
}
