import type { CallOptions, ExitReport, SandboxMount } from './driver.ts';

/**
 * The seam for services: containers that run for a long time, with a port that the host publishes. It stands apart
 * from the sandbox's, since a service has a network of its own, an image of anybody's, and no server at its stdin.
 * Objects carry the installation, the service and the incarnation as labels before they can run; `list` sees what a
 * crashed server made, and nothing here ever restarts anything by itself.
 *
 * All methods throw `runtime_unreachable` when the engine does not answer.
 */
export interface ServiceRuntime {
  /** The same for every server that uses this engine: whose ports they share. */
  hostId(options?: CallOptions): Promise<string>;
  hasImage(image: string, options?: CallOptions): Promise<boolean>;
  /**
   * Makes the container, not yet running, its network and what brings its port to it. Idempotent by incarnation. Throws `image_missing`, or
   * `sandbox_start_failed` when the engine refuses the spec.
   */
  create(spec: ServiceSpec): Promise<ServiceRef>;
  /** Starting the running succeeds. Throws `service_port_taken`, `sandbox_start_failed`. */
  start(ref: ServiceRef): Promise<void>;
  /** Asks it to end, kills it after `graceMs`. Stopping the stopped or the missing succeeds. */
  stop(ref: ServiceRef, options: { readonly graceMs: number }): Promise<void>;
  /** Kills and removes the container, and all else of the incarnation. Removing the missing succeeds. */
  remove(ref: ServiceRef): Promise<void>;
  /** Removes what is left of the service beside its containers. Succeeds when nothing is. */
  forget(service: ServiceOwner & { readonly service: string }): Promise<void>;
  /** All containers of services with this installation's label, running or not. */
  list(owner: ServiceOwner, options?: CallOptions): Promise<readonly ServiceObservation[]>;
  /** The services that have anything beside containers, for finding what was left behind. */
  remnants(owner: ServiceOwner, options?: CallOptions): Promise<readonly string[]>;
  /** Calls `onChange` whenever a container of the installation's services ends or goes, until the signal is aborted. */
  watch(owner: ServiceOwner, onChange: () => void, options: { readonly signal: AbortSignal }): Promise<void>;
  /** The last lines that are kept, oldest first; with `follow` new ones too, until the container ends. */
  logs(ref: ServiceRef, options: { readonly tail: number; readonly follow: boolean; readonly signal: AbortSignal }): AsyncIterable<LogLine>;
  /** What the container uses, once a second by one connection, until it ends. */
  stats(ref: ServiceRef, options: { readonly signal: AbortSignal }): AsyncIterable<ContainerStats>;
}

export interface ServiceOwner {
  readonly installation: string;
}

export interface ServiceLabels extends ServiceOwner {
  readonly tenant: string;
  readonly service: string;
  readonly incarnation: string;
  /** Names of another system's for it, under labels of that system's; nothing here goes by them. */
  readonly aliases?: Readonly<Record<string, string>> | undefined;
}

export interface ServiceSpec {
  readonly labels: ServiceLabels;
  readonly image: string;
  /** Undefined runs what the image says. */
  readonly argv: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** User and group inside; never 0. */
  readonly uid: number;
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly pids: number;
  readonly tmpBytes: number;
  readonly mounts: readonly SandboxMount[];
  readonly port: { readonly inside: number; readonly host: number; readonly address: string };
  /** False: it can be reached by its port, and has no way to anything. */
  readonly mayReachOut: boolean;
  /** A directory of the service's own that anybody may write to, which the service never sees. */
  readonly relayDirectory: string;
}

/** Names one incarnation; plain data, so it survives a restart. */
export interface ServiceRef {
  readonly service: string;
  readonly incarnation: string;
  readonly handle: string;
}

export interface ServiceObservation {
  readonly ref: ServiceRef;
  /** `missing`: its container is gone, or not yet made, while something else of this incarnation is there. */
  readonly state: 'missing' | 'created' | 'running' | 'paused' | 'exited';
  readonly exit: ExitReport | null;
  /** What brings its port to it does not run, so nobody reaches it. */
  readonly isCutOff: boolean;
}

export interface LogLine {
  readonly stream: 'stdout' | 'stderr';
  /** RFC 3339, by the engine. */
  readonly at: string;
  readonly text: string;
}

export interface ContainerStats {
  readonly at: string;
  /** Of one CPU: 200 is two CPUs in full use. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly pids: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}
