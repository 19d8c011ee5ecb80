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

export type CommitListener = (events: readonly StoredEvent[]) => void;

export interface EventStore {
  list(
    input: { tenantId: string; sessionId: string; types?: readonly string[] | undefined; turnId?: string | undefined } & PageInput &
      CreatedRange,
  ): Promise<Page<StoredEvent>>;
  /** Events with seq > `after`, oldest first: what a stream replays. */
  listAfter(input: { tenantId: string; sessionId: string; after: number; limit: number }): Promise<readonly StoredEvent[]>;
  find(input: { tenantId: string; sessionId: string; id: string }): Promise<StoredEvent | undefined>;
  /**
   * Calls `listener` after each commit with its events, in order of seq per session; returns the way to stop.
   * It is called before the writers are answered, and must not throw: it cannot undo the commit.
   */
  onCommit(listener: CommitListener): () => void;
}
