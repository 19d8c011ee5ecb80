import type { JsonObject } from '../../base/json.ts';
import type { Page, PageInput, SessionKey } from './common.ts';
import type { NewEvent } from './events.ts';
import type { ApprovalRow, ApprovalState } from './turns.ts';

export interface ApprovalOfAgent extends ApprovalRow {
  readonly agentId: string;
}

/** Questions to people by themselves. Those about tools are asked by runs, and all are answered as events: see TurnStore. */
export interface ApprovalStore {
  find(input: { tenantId: string; id: string }): Promise<ApprovalOfAgent | undefined>;
  list(
    input: {
      tenantId: string;
      sessionId?: string | undefined;
      agentId?: string | undefined;
      states?: readonly ApprovalState[] | undefined;
    } & PageInput,
  ): Promise<Page<ApprovalOfAgent>>;
  /**
   * Asks about a turn that runs: `event` tells of it and gives it its id, the turn and its session wait. A pending
   * question of the same kind and subject is returned instead. Throws `turn_not_found`, `turn_ended`.
   */
  ask(
    input: SessionKey & {
      turnId: string;
      subject: JsonObject;
      expiresAt: number | null;
      event: NewEvent;
      waiting: (approvalIds: readonly string[]) => NewEvent;
      now: number;
    },
  ): Promise<ApprovalOfAgent>;
  /**
   * Expires one pending question whose time is over: it counts as denied with `message`, the event tells of it, and a
   * turn that nothing else holds goes on. Undefined when there is none.
   */
  expire(input: {
    message: string;
    event: (approval: ApprovalRow) => NewEvent;
    running: (now: number) => NewEvent;
    now: number;
  }): Promise<ApprovalRow | undefined>;
}
