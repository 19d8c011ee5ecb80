import type { SessionKey } from './common.ts';

/** A control-plane process that uses this store. Times are the store's own. */
export interface NodeRow {
  readonly id: string;
  readonly host: string;
  readonly joinedAt: number;
  readonly aliveUntil: number;
}

export interface NodeStore {
  /**
   * Says that the node is alive for `leaseMs` more. The first time it joins; a sole node takes the place of every
   * other, and what waited for a retry is tried at once, since its time was another process's.
   */
  beat(input: { id: string; host: string; leaseMs: number; isSoleNode: boolean }): Promise<void>;
  /** Leaves: sessions whose sandbox was here may be leased by any node. */
  leave(input: { id: string }): Promise<void>;
  /** Leaves for a node that is known to be dead: whatever it had leased is free at once. */
  bury(input: { id: string }): Promise<void>;
  /** The nodes that are alive. */
  list(): Promise<readonly NodeRow[]>;
  /**
   * Says that the session has a sandbox on this node, before a turn asks for one: its turns are then leased here. False
   * when it is another live node's, when its files are on another volume, and when it is archived or gone.
   */
  claim(input: { id: string; volumeId: string; tenantId: string; sessionId: string }): Promise<boolean>;
  /** The session's sandbox on this node is gone: any node may run its next turn. */
  release(input: { id: string; tenantId: string; sessionId: string }): Promise<void>;
  /**
   * Takes a session in which nothing is under way over from whichever node has its sandbox: `leaving` when that one, which
   * is alive, still has to let go; else `ours`. Nothing changes when it is `busy`, or has its files on another volume
   * (`elsewhere`). Throws `session_not_found`.
   */
  takeOver(input: {
    id: string;
    volumeId: string;
    tenantId: string;
    sessionId: string;
  }): Promise<'ours' | 'leaving' | 'busy' | 'elsewhere'>;
  /** True once the node that the session was taken from has let go of it, or is dead. */
  hasLeft(input: SessionKey): Promise<boolean>;
  /** Lets go of all that was taken from this node, but for the sessions whose sandbox is still here. */
  letGo(input: { id: string; except: readonly string[] }): Promise<void>;
  /** Of sessions that have had a sandbox on this node, those that are on another by now, or removed. */
  strayed(input: { id: string; sessions: readonly SessionKey[] }): Promise<readonly SessionKey[]>;
}

export interface DutyStore {
  /**
   * Takes or extends the lease on a duty that one node does for all. False while another node has it. The holder
   * must stop when it could not extend the lease in time.
   */
  hold(input: { name: string; nodeId: string; leaseMs: number }): Promise<boolean>;
  /** Gives it up, if it is ours. */
  release(input: { name: string; nodeId: string }): Promise<void>;
}
