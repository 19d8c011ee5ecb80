import type { JsonObject } from '../../base/json.ts';
import type { Page, PageInput } from './common.ts';
import type { NewEvent } from './events.ts';

/** Open: `pending`, and `unknown` when the last attempt may have arrived. Ended: `sent` and `failed`. */
export const DELIVERY_STATES = ['pending', 'sent', 'failed', 'unknown'] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** What a delivery goes out by; each kind has its own targets. */
export const DELIVERY_KINDS = ['webhook', 'callback'] as const;
export type DeliveryKind = (typeof DELIVERY_KINDS)[number];

export interface DeliveryRow {
  readonly id: string;
  readonly tenantId: string;
  readonly kind: DeliveryKind;
  /** Of a webhook delivery, the webhook's id; of a callback, what stands for the host it goes to. */
  readonly targetId: string;
  /** What the receiver knows the message by; the same at every attempt. */
  readonly messageId: string;
  readonly eventType: string;
  readonly data: JsonObject;
  /** The session it tells of, and is reported to when it fails. */
  readonly sessionId: string | null;
  readonly state: DeliveryState;
  /** How often it was handed out; the fencing token of the newest lease. */
  readonly attempt: number;
  /** Attempts that failed, since it was added or asked for again: the place in the retry schedule. */
  readonly failures: number;
  /** When it is handed out next; while it is leased, when the lease ends; null when it has ended. */
  readonly dueAt: number | null;
  readonly leaseOwner: string | null;
  readonly lastStatus: number | null;
  readonly lastError: string | null;
  readonly lastAttemptAt: number | null;
  readonly createdAt: number;
  readonly endedAt: number | null;
}

export interface DeliveryToken {
  readonly id: string;
  readonly attempt: number;
}

export type DeliveryResult =
  | { readonly kind: 'sent'; readonly status: number | null }
  /** To be tried again; `unknown` when it may have arrived. */
  | {
      readonly kind: 'retry';
      readonly state: 'pending' | 'unknown';
      readonly afterMs: number;
      readonly status: number | null;
      readonly error: string;
    }
  /** Never again. `report` is appended to its session's log, if that still is. */
  | { readonly kind: 'failed'; readonly status: number | null; readonly error: string; readonly report: NewEvent }
  /** Handed back as it was: nothing was tried. */
  | { readonly kind: 'returned' };

/** What the attempt says about its target; `none` says nothing. */
export type TargetHealth = 'good' | 'bad' | 'gone' | 'none';

/** A target that only failed for this long is disabled. */
export const FAILING_LIMIT_MS = 5 * 24 * 60 * 60 * 1000;

export interface SettleInput extends DeliveryToken {
  readonly result: DeliveryResult;
  readonly health: TargetHealth;
  readonly now: number;
}

/**
 * Messages that leave the platform. They are added in the transaction of what they tell of, and handed out
 * under leases until one attempt arrives or the last has failed. A failed delivery's report makes no
 * delivery for the target that failed, and the report of a failed report makes none at all.
 */
export interface OutboxStore {
  /** Adds one delivery to one target, whatever that is subscribed to. */
  add(input: {
    tenantId: string;
    kind: DeliveryKind;
    targetId: string;
    messageId: string;
    eventType: string;
    data: JsonObject;
  }): Promise<DeliveryRow>;
  /**
   * Leases due deliveries, those first that are due longest, one per target and call. A target with
   * `maxPerTarget` leases is passed by (servers that lease in the same moment may go over that by one each),
   * and so are those in `except`. A lease that has run out makes its delivery due again.
   */
  lease(input: {
    nodeId: string;
    leaseMs: number;
    limit: number;
    maxPerTarget: number;
    except: readonly string[];
    now: number;
  }): Promise<readonly DeliveryRow[]>;
  /** How long until `lease` finds something, 0 or less when it would now; undefined when nothing waits. */
  dueInMs(input: { maxPerTarget: number; except: readonly string[] }): Promise<number | undefined>;
  /**
   * Writes what came of an attempt, with the report and what follows for the target, in one commit.
   * Throws `lease_lost` when the token no longer holds; nothing is then changed.
   */
  settle(input: SettleInput): Promise<void>;
  /** Makes what other nodes hold due at once: for the one node there is, when it starts. Returns how many. */
  takeOver(input: { nodeId: string }): Promise<number>;
  /** Makes a delivery due at once under its id, with the whole schedule before it; one that is being sent stays as it is. */
  retry(input: { tenantId: string; targetId: string; id: string }): Promise<DeliveryRow | undefined>;
  find(input: { tenantId: string; id: string }): Promise<DeliveryRow | undefined>;
  list(input: { tenantId: string; targetId: string; state?: DeliveryState | undefined } & PageInput): Promise<Page<DeliveryRow>>;
  /** How many are in each state but `sent`, over all tenants. */
  counts(): Promise<{ readonly pending: number; readonly unknown: number; readonly failed: number }>;
  /** Removes up to `limit` that ended before; returns how many. */
  purge(input: { endedBefore: number; limit: number }): Promise<number>;
  /** Calls `listener` after each commit that made deliveries due, in this process; returns the way to stop. */
  onAdded(listener: () => void): () => void;
}
