import type { Page, PageInput } from './common.ts';

export const PLAN_LIMITS = [
  'agents',
  'sessions',
  'concurrent_sandboxes',
  'messages_per_day',
  'messages_per_month',
  'tokens_per_month',
  'storage_bytes',
] as const;
export type PlanLimit = (typeof PLAN_LIMITS)[number];
/** What is left out is not limited. */
export type PlanLimits = Readonly<Partial<Record<PlanLimit, number>>>;

export interface PlanRow {
  readonly id: string;
  readonly name: string;
  readonly limits: PlanLimits;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** What a tenant has used of what plans limit, as counted at this moment. */
export type PlanUse = Readonly<Record<PlanLimit, number>>;

/** In bytes. */
export interface StorageUse {
  /** Files of sessions, as they were measured last. */
  readonly workspaces: number;
  readonly snapshots: number;
  /** Uploaded files and skills. */
  readonly contents: number;
  readonly memory: number;
}

/** Plans are the installation's; a tenant without one is not limited. */
export interface PlanStore {
  /** One that has the id already is returned as it is. */
  create(input: { id: string; name: string; limits: PlanLimits; now: number }): Promise<PlanRow>;
  find(input: { id: string }): Promise<PlanRow | undefined>;
  list(input: PageInput): Promise<Page<PlanRow>>;
  /** Throws `plan_not_found`. */
  update(input: { id: string; name?: string | undefined; limits?: PlanLimits | undefined; now: number }): Promise<PlanRow>;
  /** False when there was none. Throws `plan_in_use` while a tenant has it. */
  remove(input: { id: string }): Promise<boolean>;
  /** Null takes the tenant's plan away. Throws `plan_not_found`. */
  assign(input: { tenantId: string; planId: string | null; now: number }): Promise<void>;
  ofTenant(input: { tenantId: string }): Promise<PlanRow | undefined>;
  use(input: { tenantId: string; now: number }): Promise<PlanUse>;
  /** What the files and the snapshots of a session take, as they were measured. */
  measure(input: { tenantId: string; sessionId: string; bytes: number; snapshotBytes: number; now: number }): Promise<void>;
  stored(input: { tenantId: string }): Promise<StorageUse>;
  /**
   * Adds to what is held under the id: up to `bytes`, and at least `atLeast`; less is given where little is left, so
   * that others have their part. Answers how much, or undefined where nothing limits it. Throws `plan_limit_reached`.
   */
  reserve(input: {
    tenantId: string;
    id: string;
    bytes: number;
    atLeast: number;
    now: number;
    expiresAt: number;
  }): Promise<number | undefined>;
  release(input: { tenantId: string; id: string }): Promise<void>;
}
