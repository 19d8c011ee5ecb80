import type { JsonObject } from '../base/json.ts';

/** Everything that is ever told to the audit: object first, then what was done to it. A closed list, so that filters and readers know all of it. */
export const AUDIT_ACTIONS = [
  // tenants, people and their keys
  'tenant.created',
  'tenant.changed',
  'tenant.removed',
  'user.invited',
  'user.joined',
  'user.changed',
  'user.removed',
  'invitation.revoked',
  'key.created',
  'key.changed',
  'key.revoked',
  'sign_in.succeeded',
  'sign_in.failed',
  'sign_in.ended',
  // secrets
  'vault.created',
  'vault.changed',
  'vault.removed',
  'credential.created',
  'credential.changed',
  'credential.removed',
  'credential.tested',
  'provider_key.set',
  'provider_key.removed',
  'provider_key.tested',
  'encryption_key.rotated',
  // money
  'plan.changed',
  'price.changed',
  'budget.created',
  'budget.changed',
  'budget.removed',
  // what people make
  'agent.created',
  'agent.changed',
  'agent.archived',
  'environment.created',
  'environment.changed',
  'environment.archived',
  'environment.removed',
  'session.created',
  'session.changed',
  'session.archived',
  'session.removed',
  'session.forked',
  'webhook.created',
  'webhook.changed',
  'webhook.removed',
  'webhook.secret_rotated',
  'service.created',
  'service.changed',
  'service.removed',
  'skill.created',
  'skill.changed',
  'skill.removed',
  'memory.created',
  'memory.changed',
  'memory.removed',
  // files and what leaves
  'file.written',
  'file.removed',
  'snapshot.created',
  'snapshot.restored',
  'snapshot.removed',
  'data.exported',
  // what the platform does for them
  'sandbox.created',
  'sandbox.paused',
  'sandbox.resumed',
  'sandbox.removed',
  'egress.denied',
  'egress.host_used',
  'approval.asked',
  'approval.answered',
  'approval.expired',
  // the audit itself
  'audit.exported',
  'audit.sealed',
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** Who did it: `user:<id>`, `key:<id>`, or `system` for what the platform does by itself. */
export type AuditActor = `user:${string}` | `key:${string}` | `system`;

/** What is told to the audit. Never a secret: names and ids of things, not their content. */
export interface AuditEntry {
  readonly tenantId: string;
  readonly actor: AuditActor;
  readonly action: AuditAction;
  /** The id of what it was done to; of something without one, its name. */
  readonly subject: string;
  /** What else tells one such act from another; small. */
  readonly detail?: JsonObject | undefined;
}

/** Where every security-relevant act is told. */
export interface AuditSink {
  /**
   * Resolves when the entry is on disk, in the tenant's chain. Entries of one moment share a commit. Throws
   * `store_unavailable` and `disk_full`; the entry is then kept, and written as soon as the database answers.
   */
  record(entry: AuditEntry): Promise<void>;
}
