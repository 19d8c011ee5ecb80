import type { ExitReport, SandboxRef } from './driver.ts';

// What the reconciler and the rest of the server tell each other.

/**
 * What a server that was killed leaves on the host beside its sandboxes, by kind: socket directories, mounts. Each kind
 * tells what of it belongs to nobody; the reconciler looks again and again, removes it, and counts.
 */
export interface Residue {
  /** In the metrics, such as `sockets`. */
  readonly name: string;
  /** What belongs to no living server and to no sandbox that there is. Throws when that cannot be known now. */
  list(look: ResidueLook): Promise<readonly Remnant[]>;
  /** Resolves once it is gone; removing the missing succeeds. */
  remove(remnant: Remnant, call: { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

export interface Remnant {
  /** Names it among its kind, in the log too. */
  readonly id: string;
}

export interface ResidueLook {
  /** The sandboxes of this installation that the engine has, of whichever server. */
  readonly inUse: ReadonlySet<string>;
  /** True for what was made before this server started, or so long ago that its owner has had time to know of it. */
  readonly isOld: (createdAt: number) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A sandbox that some part of the server counts on. */
export interface DesiredSandbox {
  readonly ref: SandboxRef;
  /** Its owner has not put it to sleep. */
  readonly isAwake: boolean;
  /** Tells the owner that it is of no use any more. Harmless for one whose end is known already. */
  readonly lose: (report: ExitReport) => void;
}

export interface VigilCounts {
  /** Paused by somebody else in the midst of work, and resumed. */
  readonly resumed: number;
  /** Given up, since they were gone or could not be resumed. */
  readonly lost: number;
}

export interface ReconcilerReport extends VigilCounts {
  readonly sweeps: number;
  /** By the clock; null before the first sweep that could list. */
  readonly lastSweepAt: number | null;
  /** What was removed since nobody owned it, by kind: `sandboxes`, and the names of the residues. */
  readonly kinds: ReadonlyMap<string, ResidueCounts>;
}

export interface ResidueCounts {
  readonly removed: number;
  /** Looks that could not list, and removals that did not remove. */
  readonly failures: number;
}
