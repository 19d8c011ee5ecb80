import type { JsonObject } from '../../base/json.ts';

/** A sandbox that was started before there is a session for it. */
export interface WarmRow {
  readonly id: string;
  readonly tenantId: string;
  /** What a session must ask for exactly to be given it. */
  readonly key: string;
  /** The server whose sandbox it is. */
  readonly nodeId: string;
  readonly state: 'warming' | 'ready' | 'claimed';
  /** The session that has claimed it. */
  readonly sessionId: string | null;
  readonly createdAt: number;
}

/** An environment that sessions were made in, and the agent of the last of them. */
export interface WarmUse {
  readonly tenantId: string;
  readonly environmentId: string;
  readonly environment: JsonObject;
  readonly agentId: string;
}

/** The warm pool: which sandboxes stand ready, and who has claimed one. A row lives as long as its sandbox stands in the pool. */
export interface WarmStore {
  /** Says that the sandbox is being made. */
  add(input: { id: string; tenantId: string; key: string; nodeId: string; now: number }): Promise<void>;
  /** It can be claimed from now on; false when its row is gone. */
  ready(input: { id: string }): Promise<boolean>;
  /**
   * Gives the sandbox to the session and the session to the sandbox's node, both or neither. False when the sandbox is not
   * ready, belongs to another tenant, node or key; when the session has a conversation already, is archived, gone, or on
   * another live node; and when its files are on another volume.
   */
  claim(input: { id: string; tenantId: string; key: string; nodeId: string; volumeId: string; sessionId: string }): Promise<boolean>;
  /** The sandbox stands in the pool no more. */
  remove(input: { id: string }): Promise<void>;
  list(): Promise<readonly WarmRow[]>;
  /** Removes the rows of nodes that are not alive, but for `nodeId`; their sandboxes are nobody's. Returns them. */
  sweep(input: { nodeId: string }): Promise<readonly WarmRow[]>;
  /** A session of the agent was made in the environment. */
  use(input: { tenantId: string; environmentId: string; agentId: string; now: number }): Promise<void>;
  /** Of all tenants, the environments that were used and are not archived. */
  uses(): Promise<readonly WarmUse[]>;
}
