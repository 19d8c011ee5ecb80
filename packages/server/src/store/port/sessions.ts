import type { JsonObject } from '../../base/json.ts';
import type { CreatedRange, Page, PageInput } from './common.ts';
import type { NewEvent } from './events.ts';

/** Session states inside; the wire's words are made from them at the border. */
export const SESSION_STATES = ['idle', 'running', 'waiting', 'rescheduling', 'terminated'] as const;
export type SessionState = (typeof SESSION_STATES)[number];

export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheCreationTokens: number;
}

export interface SessionRow {
  readonly id: string;
  readonly tenantId: string;
  readonly agentId: string;
  readonly agentVersion: number;
  /** The agent's definition as it was when the session was made. */
  readonly agent: JsonObject;
  readonly environmentId: string;
  /** The environment's definition as it was when the session was made. */
  readonly environment: JsonObject;
  /** Files and memory stores that it was given. */
  readonly resources: readonly JsonObject[];
  readonly title: string | null;
  readonly metadata: JsonObject;
  /** Whose credentials it may use, the first before the others. */
  readonly vaultIds: readonly string[];
  readonly state: SessionState;
  /** Seq of the newest event; 0 when there is none. */
  readonly lastSeq: number;
  /** The harness's own id of this conversation, once it has one. */
  readonly harnessSessionId: string | null;
  readonly usage: Usage;
  readonly activeMs: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly archivedAt: number | null;
}

export interface SessionStore {
  /** One that has the id already is returned as it is, if it is the tenant's. */
  create(input: {
    id: string;
    tenantId: string;
    agentId: string;
    agentVersion: number;
    agent: JsonObject;
    environmentId: string;
    environment: JsonObject;
    resources?: readonly JsonObject[] | undefined;
    title: string | null;
    metadata: JsonObject;
    vaultIds?: readonly string[] | undefined;
    /** For one whose workspace all sessions of its agent share: the volume here. They all are on that of the first one. */
    sharedVolumeId?: string | undefined;
    now: number;
  }): Promise<SessionRow>;
  /**
   * Makes a session of the same definitions with a copy of the log of `from` through `throughSeq`; left out, of all of it,
   * with the harness's id of the conversation. One that has the id already is returned as it is. Throws
   * `session_not_found`, and `session_busy` when all is wanted of one that is not idle.
   */
  fork(input: {
    tenantId: string;
    from: string;
    id: string;
    throughSeq: number | undefined;
    title?: string | null | undefined;
    sharedVolumeId?: string | undefined;
    now: number;
  }): Promise<SessionRow>;
  find(input: { tenantId: string; id: string }): Promise<SessionRow | undefined>;
  list(
    input: {
      tenantId: string;
      includeArchived: boolean;
      agentId?: string | undefined;
      agentVersion?: number | undefined;
      states?: readonly SessionState[] | undefined;
    } & PageInput &
      CreatedRange,
  ): Promise<Page<SessionRow>>;
  /** Replaces what is given, and appends `event` in the same commit; when the log has that event, nothing is left to do. Throws `session_not_found`, `session_archived`. */
  update(input: {
    tenantId: string;
    id: string;
    title?: string | null | undefined;
    metadata?: JsonObject | undefined;
    agent?: JsonObject | undefined;
    /** The version that `agent` is of, where it is another one. */
    agentVersion?: number | undefined;
    resources?: readonly JsonObject[] | undefined;
    event?: NewEvent | undefined;
    now: number;
  }): Promise<SessionRow>;
  /** Throws `session_not_found`, or `session_busy` while a turn is queued, running or waiting. */
  archive(input: { tenantId: string; id: string; now: number }): Promise<SessionRow>;
  /**
   * Removes the session with its events, turns and approvals; false when there was none. Throws
   * `session_busy` while a turn runs. Commit listeners get `event` (not stored) so that streams end.
   */
  remove(input: { tenantId: string; id: string; event: NewEvent; now: number }): Promise<boolean>;
  /** Of `ids`, those that exist in any tenant: for telling whose workspaces and sandboxes are orphans. */
  existing(input: { ids: readonly string[] }): Promise<ReadonlySet<string>>;
}
