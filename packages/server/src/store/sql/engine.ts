import type { CommitListener, Preview, StoredEvent } from '../store.ts';
import type { Query } from './query.ts';

/** What a database is to the operations: reads of what is committed, and writes that happen whole or not at all. */
export interface Engine {
  read<T>(query: () => Query<T>): Promise<T>;
  write<T>(operation: (tx: Transaction) => Query<T>): Promise<T>;
  onCommit(listener: CommitListener): () => void;
  /** The other servers on the same database; absent where there are none. */
  readonly peers?: Peers;
  close(): Promise<void>;
}

/** What servers tell each other beside the rows: seen soon, or not at all. */
export interface Peers {
  publishPreview(preview: Preview): void;
  onPreview(listener: (preview: Preview) => void): () => void;
}

export interface Transaction {
  /** Tells the commit listeners, once it is committed. */
  publish(events: readonly StoredEvent[]): void;
  /** Tells the outbox, once it is committed, that something is due. An engine does without; see outbox-signal.ts. */
  readonly wakeOutbox?: () => void;
  /** The rank for a turn in that line, behind those that were given and are not committed; see ranks-under-way.ts. */
  readonly takeRank?: (line: string, rank: number, step: number) => number;
}
