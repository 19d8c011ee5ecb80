/** A name that a client of another API has for a session of ours. */
export interface SessionLink {
  readonly sessionId: string;
  /** The turn that the name stands for; null when it stands for the session. */
  readonly turnId: string | null;
}

export interface LinkKey {
  readonly tenantId: string;
  /** Whose names they are, such as `openai.user`. */
  readonly kind: string;
  readonly name: string;
}

/** They go with their session. */
export interface LinkStore {
  find(input: LinkKey): Promise<SessionLink | undefined>;
  /** Gives the name to the session unless another has it; returns who has it then. */
  claim(input: LinkKey & SessionLink & { now: number }): Promise<SessionLink>;
  /** Gives the name to the session, which has no other of this kind afterwards. */
  replace(input: LinkKey & SessionLink & { now: number }): Promise<void>;
}
