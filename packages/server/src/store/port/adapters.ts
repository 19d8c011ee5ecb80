import type { JsonObject } from '../../base/json.ts';
import type { Page, PageInput } from './common.ts';
import type { SessionState } from './sessions.ts';

/** A session that was made for a user of another system's API. */
export interface AdapterSessionRow {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly adapter: string;
  /** The user as that system's clients name them. */
  readonly userId: string;
  /** What else the adapter has to give back, such as its clients' own metadata. */
  readonly data: JsonObject;
  readonly state: SessionState;
  /** Messages that its log still has a turn of. */
  readonly messages: number;
  readonly createdAt: number;
  readonly lastActiveAt: number;
}

/** What one adapter has. */
export interface AdapterScope {
  readonly tenantId: string;
  readonly adapter: string;
}

/** Whose the sessions of other systems' users are. Rows go with their session. */
export interface AdapterSessionStore {
  /**
   * Says whose a session is going to be, before it is made; one that is claimed already stays as it is. With `max`, throws
   * `user_session_limit_reached` when the user has as many that were active after `activeAfter`.
   */
  claim(
    input: AdapterScope & {
      sessionId: string;
      userId: string;
      data: JsonObject;
      max?: number | undefined;
      activeAfter?: number | undefined;
      now: number;
    },
  ): Promise<void>;
  /** The session that was claimed was not made. */
  unclaim(input: AdapterScope & { sessionId: string }): Promise<void>;
  /** Undefined also for one whose session was never made, or is gone. */
  find(input: AdapterScope & { sessionId: string }): Promise<AdapterSessionRow | undefined>;
  /** By the time they were claimed. */
  list(
    input: AdapterScope & { userId?: string | undefined; activeAfter?: number | undefined } & PageInput,
  ): Promise<Page<AdapterSessionRow>>;
  /** Sessions of the adapter, of all tenants, that rest and were last active before. */
  idle(input: { adapter: string; before: number; limit: number }): Promise<readonly { tenantId: string; sessionId: string }[]>;
  /** Removes claims from before whose session is not there; returns how many. */
  purge(input: { before: number; limit: number }): Promise<number>;
}

/** Where the answer of one turn is to be posted. */
export interface CallbackRow {
  readonly tenantId: string;
  readonly turnId: string;
  readonly sessionId: string;
  readonly adapter: string;
  readonly url: string;
  /** What it is signed with, sealed. */
  readonly secret: string;
  readonly data: JsonObject;
  readonly createdAt: number;
}

/** The end of a turn that has a callback makes its delivery, in the same commit. */
export interface CallbackStore {
  /** Before the turn is accepted, so that none ends without it. */
  add(input: Omit<CallbackRow, 'createdAt'> & { targetId: string; now: number }): Promise<void>;
  find(input: { tenantId: string; turnId: string }): Promise<CallbackRow | undefined>;
  /** Removes those from before; returns how many. */
  purge(input: { before: number; limit: number }): Promise<number>;
}
