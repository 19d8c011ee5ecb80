import type { JsonObject } from '../base/json.ts';

/**
 * The store seam. Every method is atomic: it happens whole or not at all, and when its promise
 * resolves the change is on disk. Every row carries a tenant id, and a row of another tenant is
 * answered exactly as a missing one. Time always comes in as a parameter (milliseconds since the
 * epoch). Methods take one object, so that a new field is not a new signature.
 *
 * All methods throw `store_unavailable` when the database does not answer and `disk_full` when it
 * cannot grow; nothing has then changed.
 */
export interface Store {
  readonly agents: AgentStore;
  readonly environments: EnvironmentStore;
  readonly sessions: SessionStore;
  readonly events: EventStore;
  readonly turns: TurnStore;
  readonly apiKeys: ApiKeyStore;
  /** Stable id of this installation, made on the first open. It is on every label we write. */
  installationId(): Promise<string>;
  /** Proves that the store can write: commits a small row. For health checks. */
  check(input: { now: number }): Promise<void>;
  /** Waits for what was begun, then closes. Every later call throws `store_unavailable`. */
  close(): Promise<void>;
}

export type { JsonObject, JsonValue } from '../base/json.ts';

/** A page of a listing. `next` and `prev` are cursors to hand back as `page`, or null at an end. */
export interface Page<T> {
  readonly data: readonly T[];
  readonly next: string | null;
  readonly prev: string | null;
}

export interface PageInput {
  readonly limit: number;
  /** A cursor of an earlier page of the same listing; throws `cursor_invalid` when it is not one. */
  readonly page?: string | undefined;
  readonly order: 'asc' | 'desc';
}

export interface CreatedRange {
  readonly createdGt?: number | undefined;
  readonly createdGte?: number | undefined;
  readonly createdLt?: number | undefined;
  readonly createdLte?: number | undefined;
}

export interface AgentRow {
  readonly id: string;
  readonly tenantId: string;
  readonly version: number;
  /** Everything a version fixes: name, model, system, tools, harness, metadata … as in the wire schema. */
  readonly definition: JsonObject;
  readonly createdAt: number;
  /** When this version was made. */
  readonly updatedAt: number;
  readonly archivedAt: number | null;
}

export interface AgentStore {
  create(input: { id: string; tenantId: string; definition: JsonObject; now: number }): Promise<AgentRow>;
  /** The newest version, or the named one; undefined when there is none. */
  find(input: { tenantId: string; id: string; version?: number | undefined }): Promise<AgentRow | undefined>;
  /** Newest versions, by time of creation. */
  list(input: { tenantId: string; includeArchived: boolean } & PageInput & CreatedRange): Promise<Page<AgentRow>>;
  listVersions(input: { tenantId: string; id: string } & PageInput): Promise<Page<AgentRow>>;
  /**
   * Adds a version. Throws `agent_not_found`, `agent_archived`, or `agent_version_conflict` when
   * `expectedVersion` is given and is not the newest.
   */
  addVersion(input: {
    tenantId: string;
    id: string;
    definition: JsonObject;
    expectedVersion?: number | undefined;
    now: number;
  }): Promise<AgentRow>;
  /** Archiving the archived changes nothing. Throws `agent_not_found`. */
  archive(input: { tenantId: string; id: string; now: number }): Promise<AgentRow>;
}

export interface EnvironmentRow {
  readonly id: string;
  readonly tenantId: string;
  /** name, description, config, metadata as in the wire schema. */
  readonly definition: JsonObject;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly archivedAt: number | null;
}

export interface EnvironmentStore {
  create(input: { id: string; tenantId: string; definition: JsonObject; now: number }): Promise<EnvironmentRow>;
  find(input: { tenantId: string; id: string }): Promise<EnvironmentRow | undefined>;
  list(input: { tenantId: string; includeArchived: boolean } & PageInput): Promise<Page<EnvironmentRow>>;
  /** Throws `environment_not_found` or `environment_archived`. */
  update(input: { tenantId: string; id: string; definition: JsonObject; now: number }): Promise<EnvironmentRow>;
  archive(input: { tenantId: string; id: string; now: number }): Promise<EnvironmentRow>;
  /** Returns false when there was none. Sessions keep their own copy of the configuration. */
  remove(input: { tenantId: string; id: string }): Promise<boolean>;
}

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
  readonly title: string | null;
  readonly metadata: JsonObject;
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
  create(input: {
    id: string;
    tenantId: string;
    agentId: string;
    agentVersion: number;
    agent: JsonObject;
    environmentId: string;
    environment: JsonObject;
    title: string | null;
    metadata: JsonObject;
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
  /** Replaces what is given, and appends `event` in the same commit. Throws `session_not_found`, `session_archived`. */
  update(input: {
    tenantId: string;
    id: string;
    title?: string | null | undefined;
    metadata?: JsonObject | undefined;
    agent?: JsonObject | undefined;
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

/** An event before it has its place in the log. */
export interface NewEvent {
  readonly id: string;
  readonly type: string;
  /** The event's own fields as they go on the wire, without id, type, seq and processed_at. */
  readonly payload: JsonObject;
  /** Null for a user event whose turn has not ended. */
  readonly processedAt: number | null;
}

/** An event in the log. Immutable but for `processedAt`, which the end of its turn sets. */
export interface StoredEvent extends NewEvent {
  readonly tenantId: string;
  readonly sessionId: string;
  /** 1, 2, 3 … within the session, without a gap. */
  readonly seq: number;
  readonly turnId: string | null;
  readonly createdAt: number;
}

export type CommitListener = (events: readonly StoredEvent[]) => void;

export interface EventStore {
  list(
    input: { tenantId: string; sessionId: string; types?: readonly string[] | undefined; turnId?: string | undefined } & PageInput &
      CreatedRange,
  ): Promise<Page<StoredEvent>>;
  /** Events with seq > `after`, oldest first: what a stream replays. */
  listAfter(input: { tenantId: string; sessionId: string; after: number; limit: number }): Promise<readonly StoredEvent[]>;
  find(input: { tenantId: string; sessionId: string; id: string }): Promise<StoredEvent | undefined>;
  /**
   * Calls `listener` after each commit with its events, in order of seq per session; returns the way to stop.
   * It is called before the writers are answered, and must not throw: it cannot undo the commit.
   */
  onCommit(listener: CommitListener): () => void;
}

export const TURN_STATES = ['queued', 'running', 'waiting_approval', 'completed', 'failed', 'cancelled', 'interrupted'] as const;
export type TurnState = (typeof TURN_STATES)[number];
export const TURN_OUTCOMES = ['completed', 'failed', 'cancelled', 'interrupted'] as const satisfies readonly TurnState[];
export type TurnOutcome = (typeof TURN_OUTCOMES)[number];

export function isTerminal(state: TurnState): state is TurnOutcome {
  return (TURN_OUTCOMES as readonly string[]).includes(state);
}

export interface TurnRow {
  readonly id: string;
  readonly tenantId: string;
  readonly sessionId: string;
  /** The `user.message` that asked for it. */
  readonly eventId: string;
  readonly state: TurnState;
  /** The fencing token: grows by one with each lease; a write with an older one changes nothing. */
  readonly attempt: number;
  readonly leaseOwner: string | null;
  readonly leaseUntil: number | null;
  /** When the prompt of the current attempt was handed to the agent; from then on a tool may have run. */
  readonly promptedAt: number | null;
  readonly cancelRequested: boolean;
  /** True when an earlier attempt stopped to wait for an approval: the next one continues, it does not begin. */
  readonly isContinuation: boolean;
  readonly stopReason: string | null;
  /** `{code, message}` of a failed or interrupted turn. */
  readonly error: JsonObject | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
}

export const APPROVAL_STATES = ['pending', 'granted', 'denied', 'expired', 'cancelled'] as const;
export type ApprovalState = (typeof APPROVAL_STATES)[number];

export interface ApprovalRow {
  /** The id of the `agent.tool_use` event. */
  readonly id: string;
  readonly tenantId: string;
  readonly sessionId: string;
  readonly turnId: string;
  readonly toolName: string;
  readonly input: JsonObject;
  readonly state: ApprovalState;
  readonly denyMessage: string | null;
}

export interface IdempotencyInput {
  readonly key: string;
  /** Hash of method, path and body: another one under the same key is a mismatch. */
  readonly requestHash: string;
  readonly expiresAt: number;
}

export interface AcceptInput {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly events: readonly AcceptedEventInput[];
  readonly idempotency?: IdempotencyInput | undefined;
  /** Refuse with `capacity_exhausted` when this many turns of the session are queued already. */
  readonly maxQueuedPerSession: number;
  readonly now: number;
}

/** What a client may send, with the effect it has in the same commit. */
export type AcceptedEventInput = NewEvent & {
  readonly effect: /** Queues a turn. */
    | { readonly kind: 'message'; readonly turnId: string }
    /**
     * Asks the running or waiting turn to stop. One that is parked, or else the oldest queued one, is cancelled
     * here: `ended` makes its last events from the turn as it was, and `idle` follows when no other is queued.
     */
    | { readonly kind: 'interrupt'; readonly ended: (turn: TurnRow) => readonly NewEvent[]; readonly idle: NewEvent }
    /** Decides a pending approval; throws `approval_not_pending`, or `event_not_found` for an unknown id. */
    | {
        readonly kind: 'confirmation';
        readonly approvalId: string;
        readonly decision: 'granted' | 'denied';
        readonly denyMessage: string | null;
      }
    | { readonly kind: 'none' };
};

export interface AcceptResult {
  /** The accepted events as stored, in order (those of the first call, when replayed), without what their effects added. */
  readonly events: readonly StoredEvent[];
  /** Turn of each message, in order. */
  readonly turnIds: readonly string[];
  /** True when the idempotency key was known and nothing was written. */
  readonly isReplay: boolean;
}

export interface LeasedTurn {
  readonly turn: TurnRow;
  readonly session: SessionRow;
  readonly message: StoredEvent;
  /** Approvals of this turn, decided or not: a continuation honours those that were granted. */
  readonly approvals: readonly ApprovalRow[];
}

export interface RunToken {
  readonly turnId: string;
  readonly attempt: number;
}

export interface AppendInput extends RunToken {
  readonly events: readonly NewEvent[];
  /** The prompt is being handed to the agent now. */
  readonly isPrompted?: boolean | undefined;
  readonly harnessSessionId?: string | undefined;
  readonly usage?: Usage | undefined;
  readonly approvals?: readonly { readonly id: string; readonly toolName: string; readonly input: JsonObject }[] | undefined;
  /** Moves between running and waiting_approval (the session between running and waiting). */
  readonly state?: 'running' | 'waiting_approval' | undefined;
  /**
   * With waiting_approval: gives the lease up; the last decision then queues the turn again as a continuation,
   * at once when it has been made already or when the turn was asked to stop.
   */
  readonly isParked?: boolean | undefined;
  readonly now: number;
}

export interface FinishInput extends RunToken {
  readonly outcome: TurnOutcome;
  readonly stopReason: string | null;
  readonly error: JsonObject | null;
  readonly usage?: Usage | undefined;
  readonly events: readonly NewEvent[];
  /** Appended, and the session made idle, only when no other turn of the session is queued. */
  readonly idle: NewEvent;
  readonly now: number;
}

export interface TurnStore {
  /**
   * Takes messages in: event rows, turn rows and idempotency key in one commit. Throws
   * `session_not_found`, `session_archived`, `idempotency_mismatch`, `capacity_exhausted`, and what
   * the effects name; nothing is then stored.
   */
  accept(input: AcceptInput): Promise<AcceptResult>;
  /**
   * Leases the oldest queued turn of a session that has no other turn under way: state running,
   * attempt + 1, `promptedAt` cleared. Appends `running` when the session was not running. Undefined
   * when nothing is ready. A turn may come with `cancelRequested`: the stop came just before it was handed
   * back or parked, and its new run is to end it.
   */
  lease(input: { nodeId: string; leaseUntil: number; running: NewEvent; now: number }): Promise<LeasedTurn | undefined>;
  /** Extends the lease; throws `lease_lost` when the token no longer holds. */
  heartbeat(input: RunToken & { leaseUntil: number }): Promise<{ cancelRequested: boolean }>;
  /** Appends to the log under the token, in one commit. A token that no longer holds changes nothing and throws `lease_lost`. */
  append(input: AppendInput): Promise<readonly StoredEvent[]>;
  /** Writes the one outcome. Sets `processedAt` of the turn's message and expires its pending approvals. */
  finish(input: FinishInput): Promise<readonly StoredEvent[]>;
  /** Hands a turn whose prompt was never delivered back to the queue; `rescheduled` goes to the log. */
  requeue(input: RunToken & { rescheduled: NewEvent; now: number }): Promise<void>;
  /**
   * Takes over one turn that is running, or waiting under a lease, whose owner is another node with an
   * expired lease (any lease when `isSoleNode`): attempt + 1 under our lease. `promptedAt` and state stay
   * as the dead run left them, for the caller to decide on. Undefined when there is none.
   */
  takeOver(input: { nodeId: string; leaseUntil: number; isSoleNode: boolean; now: number }): Promise<LeasedTurn | undefined>;
  find(input: { tenantId: string; id: string }): Promise<TurnRow | undefined>;
  /** How many turns are in each state that is not terminal. */
  counts(): Promise<{ readonly queued: number; readonly running: number; readonly waitingApproval: number }>;
  approvals(input: { tenantId: string; sessionId: string; state?: ApprovalState | undefined }): Promise<readonly ApprovalRow[]>;
}

export interface ApiKeyRow {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly role: 'admin';
  /** SHA-256 of the key, hex. */
  readonly hash: string;
  readonly createdAt: number;
}

export interface ApiKeyStore {
  /** Inserts the key, or leaves the row with the same hash as it is. */
  ensure(input: { id: string; tenantId: string; name: string; role: 'admin'; hash: string; now: number }): Promise<void>;
  /** By SHA-256 of the key, hex. */
  findByHash(input: { hash: string }): Promise<ApiKeyRow | undefined>;
}
