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
