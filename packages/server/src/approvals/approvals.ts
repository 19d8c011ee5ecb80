import type { JsonObject } from '../base/json.ts';
import type { AuditActor } from '../core/audit.ts';

export const APPROVAL_KINDS = ['tool', 'budget'] as const;
export type ApprovalKind = (typeof APPROVAL_KINDS)[number];
export type ApprovalScope = 'once' | 'session';

/** A question to a person, with its answer once there is one. */
export interface Approval {
  /** That of the event that asks: for a tool, its `agent.tool_use`. */
  readonly id: string;
  readonly tenantId: string;
  readonly sessionId: string;
  readonly turnId: string;
  readonly kind: ApprovalKind;
  /** What is asked for. Of a tool: `{name, input}`; of a budget, what its owner says. */
  readonly subject: JsonObject;
  readonly state: 'pending' | 'granted' | 'denied' | 'expired' | 'cancelled';
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly answer: ApprovalAnswer | null;
}

export interface ApprovalAnswer {
  readonly by: AuditActor;
  readonly at: number;
  readonly scope: ApprovalScope;
  readonly message: string | null;
  /** Of a budget that is raised: by how much, in millionths of the currency. */
  readonly raiseMicros: number | null;
}

export interface AskInput {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly turnId: string;
  readonly kind: 'budget';
  readonly subject: JsonObject;
  /** Left out: after APPROVAL_TIMEOUT_SECONDS. */
  readonly expiresAt?: number | undefined;
}

export interface AnswerInput {
  readonly tenantId: string;
  readonly id: string;
  readonly actor: AuditActor;
  readonly decision: 'allow' | 'deny';
  readonly scope?: ApprovalScope | undefined;
  readonly message?: string | null | undefined;
  readonly raiseMicros?: number | null | undefined;
}

/** Questions that stay open over restarts until somebody answers or their time is over. */
export interface Approvals {
  /**
   * Opens a question about a turn that runs; an event `approval.requested` tells of it. One about the same budget of
   * the turn that is still open is answered instead of a second one. Throws `turn_not_found`, `turn_ended`.
   */
  ask(input: AskInput): Promise<Approval>;
  /** Resolves when the question is no longer open: answered, expired, or its turn has ended. Throws the signal's reason. */
  waiting(input: { readonly tenantId: string; readonly id: string; readonly signal: AbortSignal }): Promise<Approval>;
  /** The first answer wins: throws `approval_answered` with who and when, `approval_not_found`. */
  answer(input: AnswerInput): Promise<Approval>;
}
