import type { Page, PageInput } from './common.ts';
import type { Usage } from './sessions.ts';

/** How a model call ended. `lost`: its server died while it was under way, and it is charged at what was reserved for it. */
export const CALL_OUTCOMES = ['succeeded', 'failed', 'aborted', 'lost'] as const;
export type CallOutcome = (typeof CALL_OUTCOMES)[number];

/** Whose call it is, and of what. */
export interface CallSubject {
  readonly id: string;
  readonly tenantId: string;
  readonly agentId: string;
  readonly sessionId: string;
  readonly turnId: string | null;
  readonly provider: string;
  readonly model: string;
  readonly startedAt: number;
}

/** A model call that is over. Money is in millionths of the installation's currency. */
export interface CallRecord extends CallSubject {
  readonly usage: Usage;
  readonly costMicros: number;
  /** Which row of the price table it was charged by. */
  readonly priceVersion: string;
  /** The price or the counts are not the provider's own word. */
  readonly isEstimated: boolean;
  readonly outcome: CallOutcome;
  readonly endedAt: number;
}

export const USAGE_GROUPS = ['day', 'tenant', 'agent', 'session', 'model'] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

/** Sums over what shares the values of the groups asked for; those of other groups are null. */
export interface UsageSum extends Usage {
  /** Where the UTC day begins. */
  readonly day: number | null;
  readonly tenantId: string | null;
  readonly agentId: string | null;
  readonly sessionId: string | null;
  readonly provider: string | null;
  readonly model: string | null;
  readonly calls: number;
  readonly estimatedCalls: number;
  readonly costMicros: number;
}

export interface UsageFilter {
  /** Undefined for all tenants. */
  readonly tenantId: string | undefined;
  readonly agentId?: string | undefined;
  readonly sessionId?: string | undefined;
  readonly provider?: string | undefined;
  readonly model?: string | undefined;
  /** First and last UTC day, each by where it begins; both count. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

export type Reservation =
  /** No budget applies; nothing was written. */
  | { readonly type: 'free' }
  | { readonly type: 'reserved' }
  /** These have no room for it; nothing was written. */
  | { readonly type: 'reached'; readonly budgets: readonly BudgetRow[] };

/** What model calls came to, call by call and summed up by day. Records outlive their session: they hold no content. */
export interface UsageStore {
  /**
   * Writes the record of a call that is over, adds it to its day, takes what was reserved for it back and adds what it
   * cost to every budget that applies. One that was counted as `lost` is put right; written twice, it counts once.
   */
  settle(input: { call: CallRecord; now: number }): Promise<void>;
  /**
   * Reserves the amount on all budgets that apply, or on none: however many servers reserve at once, what is spent and
   * reserved never comes to more than the limit. It is the server's for `leaseMs`, in the store's time.
   */
  reserve(input: { call: CallSubject; amountMicros: number; nodeId: string; leaseMs: number; now: number }): Promise<Reservation>;
  /** The server lives, and so do its reservations. */
  extend(input: { nodeId: string; leaseMs: number }): Promise<void>;
  /**
   * Charges reservations whose lease has run out (all but `nodeId`'s when it is the only node) in full, as `lost`;
   * answers how many. The provider may well have done the work, and a hard limit must not be passed by crashing.
   */
  sweep(input: { nodeId: string; isSoleNode: boolean; limit: number; now: number }): Promise<number>;
  sums(input: UsageFilter & PageInput & { groups: readonly UsageGroup[] }): Promise<Page<UsageSum>>;
  calls(input: UsageFilter & PageInput): Promise<Page<CallRecord>>;
  /** Removes records of calls from before `before`, `limit` at most; the sums by day stay. Answers how many. */
  purge(input: { before: number; limit: number }): Promise<number>;
}

export const BUDGET_SCOPES = ['tenant', 'agent', 'session', 'schedule'] as const;
export type BudgetScope = (typeof BUDGET_SCOPES)[number];
export const BUDGET_PERIODS = ['total', 'day', 'month'] as const;
export type BudgetPeriod = (typeof BUDGET_PERIODS)[number];

export interface BudgetRow {
  readonly id: string;
  readonly tenantId: string;
  readonly scope: BudgetScope;
  /** Id of the agent, session or schedule; of the tenant itself its own. */
  readonly subjectId: string;
  readonly period: BudgetPeriod;
  readonly limitMicros: number;
  /** What raises have added: for the current period, or for good where there is none. */
  readonly raisedMicros: number;
  readonly spentMicros: number;
  readonly reservedMicros: number;
  /** Where the period begins that `spent` and `raised` are of; 0 where there is none. */
  readonly periodStart: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Hard limits in money. Rows are shown as they are in the period of `now`. */
export interface BudgetStore {
  /** One that has the id already is returned as it is. What its subject has spent in the period so far counts. Throws `budget_limit_reached` at `max` budgets. */
  create(
    input: Pick<BudgetRow, 'id' | 'tenantId' | 'scope' | 'subjectId' | 'period' | 'limitMicros'> & { max: number; now: number },
  ): Promise<BudgetRow>;
  find(input: { tenantId: string; id: string; now: number }): Promise<BudgetRow | undefined>;
  list(
    input: { tenantId: string; scope?: BudgetScope | undefined; subjectId?: string | undefined; now: number } & PageInput,
  ): Promise<Page<BudgetRow>>;
  /** Throws `budget_not_found`. */
  update(input: { tenantId: string; id: string; limitMicros: number; now: number }): Promise<BudgetRow>;
  /** Adds to the limit, once per `key`, however often it is asked for. Throws `budget_not_found`. */
  raise(input: { tenantId: string; id: string; key: string; amountMicros: number; now: number }): Promise<BudgetRow>;
  /** False when there was none. */
  remove(input: { tenantId: string; id: string }): Promise<boolean>;
  /** Changes with every budget that is made or removed. */
  version(): Promise<number>;
  /** The tenants that have budgets. */
  tenants(): Promise<ReadonlySet<string>>;
}
