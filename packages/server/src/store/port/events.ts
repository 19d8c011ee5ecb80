import type { JsonObject } from '../../base/json.ts';
import type { CreatedRange, Page, PageInput } from './common.ts';

/** An event before it has its place in the log. */
export interface NewEvent {
  readonly id: string;
  readonly type: string;
  /** The event's own fields as they go on the wire, without id, type, seq and processed_at. */
  readonly payload: JsonObject;
  /** Null for a user event whose turn has not ended. */
  readonly processedAt: number | null;
}

/** An event in the log. Immutable but for `processedAt`, which the end of its turn sets. */
export interface StoredEvent extends NewEvent {
  readonly tenantId: string;
  readonly sessionId: string;
  /** 1, 2, 3 … within the session, without a gap. */
  readonly seq: number;
  readonly turnId: string | null;
  readonly createdAt: number;
}

/** What a commit has put into one session's log. */
export interface CommitNotice {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly types: readonly string[];
  /** There when this server has committed them, and for what is in no log (`session.deleted`); else the log has them. */
  readonly events?: readonly StoredEvent[] | undefined;
  /** Another server on the same database has committed it. */
  readonly isRemote: boolean;
}

export type CommitListener = (notices: readonly CommitNotice[]) => void;

export interface Preview {
  readonly sessionId: string;
  readonly preview: JsonObject;
}

export interface EventStore {
  list(
    input: { tenantId: string; sessionId: string; types?: readonly string[] | undefined; turnId?: string | undefined } & PageInput &
      CreatedRange,
  ): Promise<Page<StoredEvent>>;
  /** Events with seq > `after`, oldest first: what a stream replays. */
  listAfter(input: { tenantId: string; sessionId: string; after: number; limit: number }): Promise<readonly StoredEvent[]>;
  /** Seq of the oldest event that is kept; undefined when there is none. Only the beginning of a log is ever removed. */
  firstSeq(input: { tenantId: string; sessionId: string }): Promise<number | undefined>;
  find(input: { tenantId: string; sessionId: string; id: string }): Promise<StoredEvent | undefined>;
  /** The seq of the last event of each session, 0 for one without; sessions that do not exist are left out. */
  heads(input: { sessionIds: readonly string[] }): Promise<ReadonlyMap<string, number>>;
  /**
   * Calls `listener` after each commit with one notice for each session; returns the way to stop. It is called
   * before the writers of this server are answered, and must not throw: it cannot undo the commit. On a store
   * that several servers share, notices of one session may come out of order, and those of others may get lost.
   */
  onCommit(listener: CommitListener): () => void;
  /** Other servers may commit to this store: whoever waits for them looks by himself from time to time. */
  readonly isShared: boolean;
  /** Shows the other servers a preview, best effort; does nothing while there are none. */
  publishPreview(preview: Preview): void;
  /** Calls `listener` with the previews of other servers; returns the way to stop. */
  onPreview(listener: (preview: Preview) => void): () => void;
}
