import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Engine } from './engine.ts';
import type { HostPaths } from './host-paths.ts';
import type { SeccompFile } from './seccomp.ts';

/** What each operation of the driver works with. */
export interface DockerContext {
  readonly engine: Engine;
  /** For engines that take a filter by its path. */
  readonly seccomp: SeccompFile;
  /** For a server in a container, whose paths are not the engine's. */
  readonly hostPaths: HostPaths;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborted when the driver is closed. */
  readonly closing: AbortSignal;
}
