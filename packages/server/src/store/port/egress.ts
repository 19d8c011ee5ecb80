import type { Page, PageInput } from './common.ts';

/** `tunnel`: CONNECT, unread; `plain`: a request over plain HTTP; `inspected`: a request inside a tunnel that is looked into. */
export const EGRESS_WAYS = ['tunnel', 'plain', 'inspected'] as const;
export type EgressWay = (typeof EGRESS_WAYS)[number];
export const EGRESS_OUTCOMES = ['allowed', 'denied', 'failed'] as const;
export type EgressOutcome = (typeof EGRESS_OUTCOMES)[number];

/** One decision of the gateway. */
export interface EgressRecord {
  readonly id: string;
  readonly tenantId: string;
  readonly sessionId: string;
  readonly sandboxId: string;
  readonly way: EgressWay;
  readonly method: string;
  /** Empty when what was asked for is no address. */
  readonly host: string;
  readonly port: number;
  /** The address that was connected to. */
  readonly address: string | null;
  readonly outcome: EgressOutcome;
  readonly reason: string;
  /** How many decisions in a row were the same; more than one only where nothing was connected. */
  readonly times: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** How the connection ended; null while it is open, and where there was none. */
  readonly ending: string | null;
  readonly createdAt: number;
  readonly endedAt: number | null;
}

export type EgressEnding = Pick<EgressRecord, 'tenantId' | 'sessionId' | 'id' | 'bytesUp' | 'bytesDown'> & {
  readonly ending: string;
  readonly endedAt: number;
};

export interface EgressUsage {
  readonly requests: number;
  readonly bytes: number;
}

interface OneSession {
  readonly tenantId: string;
  readonly sessionId: string;
}

/** The audit of the gateway, and the running totals of each session. */
export interface EgressStore {
  /** Adds what has happened since the last call. What is of a session that is gone is left out. */
  record(input: {
    records: readonly EgressRecord[];
    endings: readonly EgressEnding[];
    used: readonly (OneSession & EgressUsage)[];
  }): Promise<void>;
  /** What a session has used over its life. */
  usage(input: OneSession): Promise<EgressUsage>;
  list(input: OneSession & { outcome?: EgressOutcome | undefined } & PageInput): Promise<Page<EgressRecord>>;
  /** Removes all but the newest `keep` records of a session, `limit` at most; answers how many. */
  trim(input: OneSession & { keep: number; limit: number }): Promise<number>;
  /** Removes records from before `before`, `limit` at most; answers how many. */
  purge(input: { before: number; limit: number }): Promise<number>;
}
