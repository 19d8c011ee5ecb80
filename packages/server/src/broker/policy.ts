import { PlatformError } from '../base/errors.ts';
import type { HostPaths } from '../runtime/docker/host-paths.ts';

/** What the broker lets through, beyond the fixed shape of each call. */
export interface BrokerPolicy {
  /** The data directory as this process sees it; only what lies two levels below it is mounted. */
  readonly dataDir: string;
  /** The operator's list of further mounts; undefined for none. */
  readonly mountAllowlist: string | undefined;
  readonly maxMemoryBytes: number;
  readonly maxCpus: number;
  readonly maxPids: number;
  /** The ports that services may publish, and the one address they may do so on. */
  readonly ports: { readonly first: number; readonly last: number };
  readonly bind: string;
  /** OCI runtimes that a container may ask for. */
  readonly runtimes: readonly string[];
  /** Whether images may be built: whoever may do that runs commands as root in the engine's build containers. */
  readonly allowsBuild: boolean;
}

export interface MountDeps {
  readonly policy: BrokerPolicy;
  readonly hostPaths: HostPaths;
}

/** Refuses a call; the reason goes to the caller and into the log. */
export function refusal(reason: string): PlatformError {
  return new PlatformError('broker_refused', { detail: reason });
}
