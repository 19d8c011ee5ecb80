import type { SessionState } from './sessions.ts';

/** What decides about a session's rows. */
export interface AgingSession {
  readonly tenantId: string;
  readonly id: string;
  readonly state: SessionState;
  /** The last activity. */
  readonly updatedAt: number;
  /** Of the oldest event in its log; null when there is none. */
  readonly oldestEventAt: number | null;
}

interface OneSession {
  readonly tenantId: string;
  readonly sessionId: string;
}

/** Removes what is kept no longer, `limit` rows at most in one commit, so that others need not wait for long. */
export interface RetentionStore {
  /** Sessions of all tenants in the order of their ids, after the one of `after`. */
  sessions(input: { after: string; limit: number }): Promise<readonly AgingSession[]>;
  /**
   * Archives a session that was not active since `idleBefore` and has no open turn, in state `terminated`: nothing
   * happens in it any more, and its rows may be stripped. False when it is not so, and nothing has changed.
   */
  condemn(input: OneSession & { idleBefore: number; now: number }): Promise<boolean>;
  /** Removes rows that a condemned session has, but not itself; answers how many. */
  strip(input: OneSession & { limit: number }): Promise<number>;
  /**
   * Takes events from before `before` off the beginning of the session's log, up to the message of the first open
   * turn, and ended turns whose message is gone. Answers how many rows it was.
   */
  cut(input: OneSession & { before: number; limit: number }): Promise<number>;
  /** Forgets idempotency keys whose time is over; answers how many. */
  forgetKeys(input: { limit: number }): Promise<number>;
  /** Gives unused pages of the database's file back to the file system, where that is for us to do; answers how many. */
  freePages(input: { limit: number }): Promise<number>;
}
