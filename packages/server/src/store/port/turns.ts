import type { JsonObject } from '../../base/json.ts';
import type { Page, PageInput } from './common.ts';
import type { NewEvent, StoredEvent } from './events.ts';
import type { SessionRow, Usage } from './sessions.ts';

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
  readonly agentId: string;
  readonly state: TurnState;
  readonly priority: TurnPriority;
  /** The fencing token: grows by one with each lease; a write with an older one changes nothing. */
  readonly attempt: number;
  readonly leaseOwner: string | null;
  readonly leaseUntil: number | null;
  /** When the prompt of the current attempt was handed to the agent; from then on a tool may have run. */
  readonly promptedAt: number | null;
  readonly cancelRequested: boolean;
  /** How often it failed before it did anything, and was put back. */
  readonly retries: number;
  /** When it may be tried again, in the store's time; null when it need not wait. */
  readonly retryAt: number | null;
  /** The running turn that was given this one's message as well, and whose outcome it shares. */
  readonly steeredInto: string | null;
  /** True when an earlier attempt stopped to wait for an approval: the next one continues, it does not begin. */
  readonly isContinuation: boolean;
  readonly stopReason: string | null;
  /** `{code, message}` of a failed or interrupted turn. */
  readonly error: JsonObject | null;
  /** Milliseconds of each stage it went through; null before its end, and of turns that never ran. */
  readonly stages: JsonObject | null;
  /** Where its spans belong, as a W3C `traceparent`; null while nobody traces it. */
  readonly traceparent: string | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
}

/** `scheduled` goes before the backlog of ordinary messages, until that has waited for long. */
export const TURN_PRIORITIES = ['message', 'scheduled'] as const;
export type TurnPriority = (typeof TURN_PRIORITIES)[number];

export const APPROVAL_STATES = ['pending', 'granted', 'denied', 'expired', 'cancelled'] as const;
export type ApprovalState = (typeof APPROVAL_STATES)[number];

export const APPROVAL_KINDS = ['tool', 'budget'] as const;
export type ApprovalKind = (typeof APPROVAL_KINDS)[number];
/** Of an answer: for the one question, or for all like it in the session. */
export const APPROVAL_SCOPES = ['once', 'session'] as const;
export type ApprovalScope = (typeof APPROVAL_SCOPES)[number];

export interface ApprovalRow {
  /** The id of the event that asks: of a tool's `agent.tool_use`. */
  readonly id: string;
  readonly tenantId: string;
  readonly sessionId: string;
  readonly turnId: string;
  readonly kind: ApprovalKind;
  readonly toolName: string;
  /** Of a budget, what is asked about it. */
  readonly input: JsonObject;
  /** SHA-256 of the input as canonical JSON; null of those of before. */
  readonly inputHash: string | null;
  /** What in the agent's policy asks: an answer for the session covers what it covers. */
  readonly rule: string | null;
  readonly state: ApprovalState;
  readonly denyMessage: string | null;
  readonly scope: ApprovalScope | null;
  /** Of a budget that is raised: by how much. */
  readonly raiseMicros: number | null;
  readonly decidedBy: string | null;
  readonly decidedAt: number | null;
  readonly createdAt: number;
  readonly expiresAt: number | null;
}

/** A question that a run asks. */
export interface NewApproval {
  readonly id: string;
  readonly toolName: string;
  readonly input: JsonObject;
  readonly inputHash?: string | undefined;
  readonly rule?: string | undefined;
  readonly expiresAt?: number | undefined;
}

export interface IdempotencyInput {
  readonly key: string;
  /** Hash of method, path and body: another one under the same key is a mismatch. */
  readonly requestHash: string;
  /** How long the key is remembered, in the store's own time. */
  readonly keepMs: number;
}

export interface MessagePolicy {
  /** Refuse messages with `session_busy` while another turn of the session has not ended. */
  readonly isRefusedWhileBusy: boolean;
  /** How many turns of the agent may run at once; null for the installation's own limit. */
  readonly maxConcurrent: number | null;
}

export interface AcceptInput {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly events: readonly AcceptedEventInput[];
  readonly idempotency?: IdempotencyInput | undefined;
  /** Refuse with `capacity_exhausted` when this many turns of the session are queued already. */
  readonly maxQueuedPerSession: number;
  /** What the session's agent says of messages, from its definition; asked within the commit. */
  readonly policyOf?: ((agent: JsonObject) => MessagePolicy) | undefined;
  readonly now: number;
}

/** What a client may send, with the effect it has in the same commit. */
export type AcceptedEventInput = NewEvent & {
  readonly effect: /** Queues a turn. */
    | {
        readonly kind: 'message';
        readonly turnId: string;
        readonly priority?: TurnPriority | undefined;
        readonly traceparent?: string | undefined;
      }
    /**
     * Asks the running or waiting turn to stop. One that is parked, or else the oldest queued one, is cancelled
     * here: `ended` makes its last events from the turn as it was, and `idle` follows when no other is queued.
     * With `turnId` it is for that turn alone: throws `turn_not_found`, or `turn_ended` when it has ended.
     */
    | {
        readonly kind: 'interrupt';
        readonly turnId?: string | undefined;
        readonly ended: (turn: TurnRow) => readonly NewEvent[];
        readonly idle: NewEvent;
      }
    /** Decides a pending approval; throws `approval_not_pending`, or `event_not_found` for an unknown id. */
    | {
        readonly kind: 'confirmation';
        readonly approvalId: string;
        readonly decision: 'granted' | 'denied';
        readonly denyMessage: string | null;
        readonly scope?: ApprovalScope | undefined;
        readonly raiseMicros?: number | null | undefined;
        readonly decidedBy?: string | undefined;
        /** The event that a run which only waited for its budget goes on. */
        readonly running?: ((now: number) => NewEvent) | undefined;
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
  /** The session's last turn ran on this node as well: a sandbox that is still there has all of the conversation. */
  readonly isHere: boolean;
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
  readonly approvals?: readonly NewApproval[] | undefined;
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
  readonly stages?: JsonObject | undefined;
  readonly usage?: Usage | undefined;
  readonly events: readonly NewEvent[];
  /** Appended, and the session made idle, only when no other turn of the session is queued. */
  readonly idle: NewEvent;
  /**
   * What becomes of a turn whose message this one was given as well (at `seq` in the log): it shares the outcome, and
   * its last events are made here; or (undefined) it is queued as if nothing had been. Left out: all are queued.
   */
  readonly endedSteered?: ((turn: TurnRow, seq: number) => readonly NewEvent[] | undefined) | undefined;
  readonly now: number;
}

/** How many turns may run at once; undefined for no limit. */
export interface ConcurrencyCaps {
  readonly perTenant?: number | undefined;
  /** For agents that have no limit of their own. */
  readonly perAgent?: number | undefined;
}

/**
 * Leases are counted in the store's own time, which no host's clock moves; callers give durations. A
 * lease of 0 ms has run out at once.
 */
export interface LeaseInput {
  readonly nodeId: string;
  readonly leaseMs: number;
  readonly now: number;
}

/** Who leases, and what may be leased there. */
export interface LeasePlace {
  readonly nodeId: string;
  readonly volumeId: string;
  readonly caps?: ConcurrencyCaps | undefined;
}

export interface TurnStore {
  /**
   * Takes messages in: event rows, turn rows and idempotency key in one commit. Throws
   * `session_not_found`, `session_archived`, `idempotency_mismatch`, `capacity_exhausted`, and what
   * the effects name; nothing is then stored.
   */
  accept(input: AcceptInput): Promise<AcceptResult>;
  /**
   * Leases the next turn in the fair order: the oldest queued one of a session that has no other under way, whose
   * tenant and agent are below their caps, and whose session's files are on our volume (or nowhere yet), and whose sandbox is not on another node that is alive. State
   * running, attempt + 1, `promptedAt` cleared, the session's node is ours. Appends `running` when the session was
   * not running. Undefined when nothing is ready. A turn may come with `cancelRequested`: the stop came just before it was handed
   * back or parked, and its new run is to end it.
   */
  lease(input: LeaseInput & LeasePlace & { running: NewEvent }): Promise<LeasedTurn | undefined>;
  /** True when `lease` would find a turn now, as far as a look that holds nothing can tell. */
  hasReady(input: LeasePlace): Promise<boolean>;
  /** Extends the lease; throws `lease_lost` when the token no longer holds. */
  heartbeat(input: RunToken & { leaseMs: number }): Promise<{ cancelRequested: boolean }>;
  /** Appends to the log under the token, in one commit. A token that no longer holds changes nothing and throws `lease_lost`. */
  append(input: AppendInput): Promise<readonly StoredEvent[]>;
  /** Writes the one outcome. Sets `processedAt` of the turn's message and expires its pending approvals. */
  finish(input: FinishInput): Promise<readonly StoredEvent[]>;
  /**
   * Hands a turn that has done nothing back to the queue, where it keeps its place; `events` go to the log. With
   * `retryInMs` it counts as a failed try, and is not leased before that time is over.
   */
  requeue(input: RunToken & { events: readonly NewEvent[]; retryInMs?: number | undefined; now: number }): Promise<void>;
  /**
   * Takes the oldest queued message of the session into the running turn: it waits no longer for a turn of its own,
   * unless this one is begun anew or ends without it. Returns its event; undefined when there is none to take.
   */
  steer(input: RunToken): Promise<StoredEvent | undefined>;
  /** Gives the message of that event a turn of its own again: the agent did not take it. */
  unsteer(input: RunToken & { eventId: string }): Promise<void>;
  /**
   * Takes over one turn that is running, or waiting under a lease, whose lease has run out (any lease of another node
   * when `isSoleNode`), but for those that are `held`, which this node still runs: attempt + 1 under our lease. `promptedAt` and state stay
   * as the dead run left them, for the caller to decide on. Undefined when there is none.
   */
  takeOver(input: LeaseInput & { isSoleNode: boolean; held: readonly string[] }): Promise<LeasedTurn | undefined>;
  find(input: { tenantId: string; id: string }): Promise<TurnRow | undefined>;
  /** By time of creation. */
  list(
    input: { tenantId: string; sessionId?: string | undefined; states?: readonly TurnState[] | undefined } & PageInput,
  ): Promise<Page<TurnRow>>;
  /** How many turns are in each state that is not terminal. */
  counts(): Promise<{ readonly queued: number; readonly running: number; readonly waitingApproval: number }>;
  /** What waits in all tenants: since when the oldest queued turn, and how many questions to people. */
  waits(): Promise<{ readonly oldestQueuedAt: number | undefined; readonly openApprovals: number }>;
  /** How many turns of all tenants have ended `failed` since then. */
  failedSince(input: { since: number }): Promise<number>;
  /** How many turns of each tenant are queued; a tenant with none may be left out. */
  queuedByTenant(): Promise<ReadonlyMap<string, number>>;
  approvals(input: { tenantId: string; sessionId: string; state?: ApprovalState | undefined }): Promise<readonly ApprovalRow[]>;
}
