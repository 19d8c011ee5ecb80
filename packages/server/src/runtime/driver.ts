import type { Readable, Writable } from 'node:stream';
import type { ServiceRuntime } from './services.ts';

/**
 * The runtime seam: how a sandbox is made, watched and removed. A driver knows nothing of sessions,
 * turns or agents. Every object it makes carries the owner's labels before it can run; `list` sees
 * also what a crashed process made; a `SandboxRef` from before a restart still works.
 *
 * All methods throw `runtime_unreachable` when the engine does not answer, and stop early with the
 * signal's reason when aborted; an abort leaks nothing.
 */
export interface RuntimeDriver {
  readonly name: string;
  readonly capabilities: RuntimeCapabilities;
  /** Undefined where sandboxes cannot be put to sleep: they are then kept awake until they are stopped. */
  readonly sleep?: SleepPower | undefined;
  /** Asks the engine whether it can be used. Never throws. */
  probe(options?: CallOptions): Promise<RuntimeProbe>;
  /** True when the image can be started without fetching anything. */
  hasImage(image: string, options?: CallOptions): Promise<boolean>;
  /**
   * Makes the sandbox, not yet running. Idempotent by (sandbox id, spec): the same again answers the
   * same ref, another spec under the same incarnation throws `sandbox_conflict`. Throws `image_missing`, or
   * `sandbox_start_failed` when the engine refuses the spec; a failure or an abort leaves nothing.
   */
  create(spec: SandboxSpec, options?: CallOptions): Promise<SandboxRef>;
  /**
   * Attaches, then starts, so that not one byte is missed. Throws `sandbox_start_failed`; after that, and after
   * an abort, nothing of the sandbox is left. An incarnation runs once: a second start throws `sandbox_conflict`
   * and changes nothing. Ending `stdin` is the sandboxed program's sign to leave. Both outputs must be read:
   * an unread one holds up the other.
   */
  start(ref: SandboxRef, options?: StartOptions): Promise<SandboxIo>;
  /** The OCI runtimes there are to choose from; left out by a driver without a choice. Throws `runtime_unreachable`. */
  runtimeClasses?(options?: CallOptions): Promise<readonly string[]>;
  /** Asks it to end, kills it after `graceMs`. Stopping the stopped or the missing succeeds. */
  stop(ref: SandboxRef, options: { readonly graceMs: number } & CallOptions): Promise<void>;
  /** Kills and removes. Removing the missing succeeds. */
  remove(ref: SandboxRef, options?: CallOptions): Promise<void>;
  /** What is there now; undefined when nothing is. */
  inspect(ref: SandboxRef, options?: CallOptions): Promise<SandboxObservation | undefined>;
  /** All objects with this installation's label, running or not; never anybody else's. */
  list(owner: { readonly installation: string }, options?: CallOptions): Promise<readonly SandboxObservation[]>;
  /** Runs a command in a running sandbox as its user. A command that cannot be found exits 126 or 127. */
  exec(ref: SandboxRef, command: ExecCommand, options?: CallOptions): Promise<SandboxProcess>;
  /** The last lines of stdout and stderr that the engine kept; empty when it keeps none. */
  logs(ref: SandboxRef, options?: { readonly tailLines?: number } & CallOptions): Promise<string>;
  /** Calls `onExit` for every sandbox of the installation that ends, until the signal is aborted. Reconnects by itself. */
  watch(
    owner: { readonly installation: string },
    onExit: (exit: { readonly ref: SandboxRef; readonly report: ExitReport }) => void,
    options: WatchOptions,
  ): Promise<void>;
  /** Containers that run for a long time with a published port; undefined where the engine has none. */
  readonly services?: ServiceRuntime | undefined;
  /** Lets go of connections. Sandboxes go on. */
  close(): Promise<void>;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface WatchOptions {
  readonly signal: AbortSignal;
  /** Told of each that is paused, by whomever, where the runtime tells; the listing shows it everywhere. */
  readonly onPaused?: ((ref: SandboxRef) => void) | undefined;
}

export interface StartOptions extends CallOptions {
  /** Told once the streams are attached, before the program runs: for measuring. */
  readonly onAttached?: (() => void) | undefined;
}

/**
 * An optional power: sandboxes that hold still. A paused one does nothing and loses nothing: what is written to it
 * waits. `stop` and `remove` work on it as on a running one; `exec` is refused with `sandbox_exited`, since a command
 * in a frozen sandbox would hang.
 */
export interface SleepPower {
  /** Pausing the paused succeeds. Throws `sandbox_exited` for one that does not run, or is not there. */
  pause(ref: SandboxRef, options?: CallOptions): Promise<void>;
  /** It goes on as if nothing had been. Resuming the running succeeds. Throws `sandbox_exited` as `pause` does. */
  resume(ref: SandboxRef, options?: CallOptions): Promise<void>;
  /**
   * Gives memory of a paused sandbox back to the host: file pages, and the rest to swap where the host has some. It
   * may take seconds. Answers how many bytes; undefined where the host does not let this server do so.
   */
  reclaim(ref: SandboxRef, options?: CallOptions): Promise<number | undefined>;
  /** Bytes of memory in use; undefined when that cannot be known here. */
  memory(ref: SandboxRef, options?: CallOptions): Promise<number | undefined>;
}

/** What an engine can do beyond the required; the caller asks these, never the driver's name. */
export interface RuntimeCapabilities {
  /** Sandboxes are separated by the kernel or better. False only for the fake: agents' commands must not run there. */
  readonly isIsolated: boolean;
  /** How strong the walls are, for people to see: `weaker` has the kernel's walls without a container engine's. */
  readonly isolationClass: 'container' | 'weaker' | 'none';
  /** Memory, CPU and process limits bite. When false the status says so. */
  readonly supportsLimits: boolean;
  /** Sandboxes are made from OCI images. When false `hasImage` is always true. */
  readonly usesImages: boolean;
}

export type RuntimeProbe =
  | { readonly ok: true; readonly version: string; readonly detail: string }
  | { readonly ok: false; readonly detail: string; readonly fix: string };

export interface SandboxLabels {
  readonly installation: string;
  /** The control-plane process that made it. */
  readonly node: string;
  readonly tenant: string;
  readonly agent: string;
  readonly session: string;
  readonly sandbox: string;
  readonly incarnation: string;
}

export interface SandboxSpec {
  readonly labels: SandboxLabels;
  readonly image: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Ids of the user inside; never 0. */
  readonly uid: number;
  readonly gid: number;
  readonly memoryBytes: number;
  /** CPUs, for example 0.5. */
  readonly cpus: number;
  readonly pids: number;
  readonly mounts: readonly SandboxMount[];
  /** Size of the writable, in-memory /tmp. Counts as the sandbox's memory. */
  readonly tmpBytes: number;
  /** The engine's OCI runtime that runs it, such as `runsc`; left out, the engine's default. One of `runtimeClasses`. */
  readonly runtimeClass?: string;
}

export interface SandboxMount {
  readonly hostPath: string;
  readonly path: string;
  readonly isReadOnly: boolean;
}

/** Names one incarnation; plain data, so it survives a restart. */
export interface SandboxRef {
  readonly sandbox: string;
  readonly incarnation: string;
  /** The engine's own name of it; only the driver reads it. */
  readonly handle: string;
}

export interface SandboxIo {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the main process has ended; never rejects. Stays open when the driver is closed before. */
  readonly exited: Promise<ExitReport>;
}

/** Either a code or a signal. A program that itself exits with 128 + n counts as ended by signal n: engines cannot tell. */
export interface ExitReport {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /**
   * The kernel killed something inside for memory, by the engine's flag or its event. May be true although the
   * main process ended well, when only a child of it was killed.
   */
  readonly isOutOfMemory: boolean;
  /** What somebody did to it past this driver, where that is known; left out when it ended by itself, or by this driver. */
  readonly outside?: OutsideDeed;
}

/** `stopped` was asked to end, `killed` was not asked; `paused` could not be resumed; of `disconnected` only the streams are lost. */
export type OutsideDeed = 'removed' | 'stopped' | 'killed' | 'paused' | 'disconnected';

export interface SandboxObservation {
  readonly ref: SandboxRef;
  readonly labels: SandboxLabels;
  readonly state: 'created' | 'running' | 'paused' | 'exited';
  readonly createdAt: number;
  readonly exit: ExitReport | null;
}

export interface ExecCommand {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface SandboxProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<{ readonly exitCode: number }>;
}
