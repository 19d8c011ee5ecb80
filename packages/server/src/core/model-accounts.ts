import type { Provider } from './model.ts';
import type { Tokens, Traffic } from './model-cost.ts';

/** Whose model call it is. */
export interface CallOwner {
  readonly tenantId: string;
  /** Empty where no agent is known. */
  readonly agentId: string;
  readonly sessionId: string;
  readonly turnId: string | null;
}

/** A model call that is to be made. */
export interface AskedCall extends CallOwner {
  readonly id: string;
  readonly provider: Provider;
  readonly model: string | null;
  readonly requestBytes: number;
  /** The most that its answer may have, over all its parts. */
  readonly maxOutputTokens: number;
  readonly startedAt: number;
}

export interface EndedCall extends CallOwner {
  readonly id: string;
  readonly provider: Provider;
  /** As it was asked for, and as the provider named it. */
  readonly model: string | null;
  readonly answeredModel: string | null;
  readonly usage: Tokens;
  readonly traffic: Traffic;
  readonly outcome: 'succeeded' | 'failed' | 'aborted';
  readonly startedAt: number;
  readonly endedAt: number;
}

/** The turn whose calls are held, as far as it has to know. */
export interface HeldTurn {
  readonly id: string;
  /** It can wait no longer as it is: its sandbox goes, and it goes on in another once there is an answer. */
  park(): void;
}

export type Admission = { readonly type: 'admitted' } | { readonly type: 'refused'; readonly message: string };

/** Keeps what model calls cost, and lets those that a budget covers through only while it has room. */
export interface ModelAccounts {
  /** Whether the tenant's calls have to be admitted; known without a look at the database. */
  needsAdmission(tenantId: string): boolean;
  /** The most that an answer may have where the request does not say it: what is not bounded cannot be reserved. */
  readonly defaultMaxOutputTokens: number;
  /**
   * Reserves what the call may come to. Where a budget has no room it waits until a person has raised it or said no;
   * throws the signal's reason.
   */
  admit(call: AskedCall, turn: HeldTurn | undefined, signal: AbortSignal): Promise<Admission>;
  /** Once per call, admitted or not. Neither blocks nor throws. */
  settle(call: EndedCall): void;
}
