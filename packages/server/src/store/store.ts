import type { AdapterSessionStore, CallbackStore } from './port/adapters.ts';
import type { AgentStore } from './port/agents.ts';
import type { ApiKeyStore } from './port/api-keys.ts';
import type { ApprovalStore } from './port/approvals.ts';
import type { AuditStore } from './port/audit.ts';
import type { BlobStore, FileStore, MemoryStores, SkillStore } from './port/contents.ts';
import type { EgressStore } from './port/egress.ts';
import type { EnvironmentStore } from './port/environments.ts';
import type { EventStore } from './port/events.ts';
import type { LinkStore } from './port/links.ts';
import type { DutyStore, NodeStore } from './port/nodes.ts';
import type { OutboxStore } from './port/outbox.ts';
import type { PlanStore } from './port/plans.ts';
import type { RequestStore } from './port/requests.ts';
import type { RetentionStore } from './port/retention.ts';
import type { SealedStore } from './port/sealed.ts';
import type { ServiceStore } from './port/services.ts';
import type { SessionStore } from './port/sessions.ts';
import type { TenantStore } from './port/tenants.ts';
import type { TurnStore } from './port/turns.ts';
import type { BudgetStore, UsageStore } from './port/usage.ts';
import type { UserStore } from './port/users.ts';
import type { VaultStore } from './port/vaults.ts';
import type { WarmStore } from './port/warm.ts';
import type { WebhookStore } from './port/webhooks.ts';

export type { JsonObject, JsonValue } from '../base/json.ts';
export * from './port/adapters.ts';
export * from './port/agents.ts';
export * from './port/api-keys.ts';
export * from './port/approvals.ts';
export * from './port/audit.ts';
export * from './port/common.ts';
export * from './port/contents.ts';
export * from './port/egress.ts';
export * from './port/environments.ts';
export * from './port/events.ts';
export * from './port/links.ts';
export * from './port/nodes.ts';
export * from './port/outbox.ts';
export * from './port/plans.ts';
export * from './port/requests.ts';
export * from './port/retention.ts';
export * from './port/sealed.ts';
export * from './port/services.ts';
export * from './port/sessions.ts';
export * from './port/tenants.ts';
export * from './port/turns.ts';
export * from './port/usage.ts';
export * from './port/users.ts';
export * from './port/vaults.ts';
export * from './port/warm.ts';
export * from './port/webhooks.ts';

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
  readonly links: LinkStore;
  readonly tenants: TenantStore;
  readonly users: UserStore;
  readonly apiKeys: ApiKeyStore;
  readonly webhooks: WebhookStore;
  readonly adapterSessions: AdapterSessionStore;
  readonly callbacks: CallbackStore;
  readonly services: ServiceStore;
  readonly outbox: OutboxStore;
  readonly requests: RequestStore;
  readonly retention: RetentionStore;
  readonly egress: EgressStore;
  readonly blobs: BlobStore;
  readonly files: FileStore;
  readonly skills: SkillStore;
  readonly memory: MemoryStores;
  readonly nodes: NodeStore;
  readonly duties: DutyStore;
  readonly warm: WarmStore;
  readonly vaults: VaultStore;
  readonly sealed: SealedStore;
  readonly usage: UsageStore;
  readonly budgets: BudgetStore;
  readonly plans: PlanStore;
  readonly approvals: ApprovalStore;
  readonly audit: AuditStore;
  /** Stable id of this installation, made on the first open. It is on every label we write. */
  installationId(): Promise<string>;
  /** Proves that the store can write: commits a small row. For health checks. */
  check(input: { now: number }): Promise<void>;
  /** Waits for what was begun, then closes. Every later call throws `store_unavailable`. */
  close(): Promise<void>;
}
