import { PlatformError } from '../../base/errors.ts';
import { onNextTick } from '../../base/next-tick.ts';
import type { StoredEvent } from '../store.ts';
import type { Connection } from './connection.ts';
import { isOfTransaction, toStoreError } from './failures.ts';

type PublishListener = (events: readonly StoredEvent[]) => void;

/**
 * Group commit. Operations that arrive in the same moment share one transaction and so one sync of the
 * disk; each runs in a savepoint of its own, so that one that fails takes nothing of the others with it.
 * Nothing is answered before the commit: when it fails, all of the batch fail, those that were refused
 * too, since what they were refused for may be gone.
 */
export interface Writer {
  write<T>(operation: (tx: Transaction) => T): Promise<T>;
  /** A listener must not throw: it cannot undo a commit, so what it throws ends up uncaught. */
  onCommit(listener: PublishListener): () => void;
  /** Waits for what was begun; every later `write` throws `store_unavailable`. */
  close(): Promise<void>;
}

export interface Transaction {
  readonly db: Connection;
  /** Tells the commit listeners, once it is committed. */
  publish(events: readonly StoredEvent[]): void;
}

interface Job {
  apply(tx: Transaction): void;
  resolve(): void;
  reject(error: unknown): void;
}

/** Bounds how long a batch keeps the event loop; the rest goes into the next one. */
const MAX_BATCH = 128;

export function createWriter(db: Connection): Writer {
  const listeners = new Set<PublishListener>();
  let queue: Job[] = [];
  let isScheduled = false;
  let isClosed = false;
  let onDrained: (() => void) | undefined;

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    onNextTick(flush);
  }

  function flush(): void {
    isScheduled = false;
    const batch = queue.slice(0, MAX_BATCH);
    queue = queue.slice(MAX_BATCH);
    const published: StoredEvent[] = [];
    try {
      const settle = commit(db, batch, published);
      if (published.length > 0) notify(listeners, published);
      for (const answer of settle) answer();
    } catch (error) {
      const failure = abandon(db, error);
      for (const job of batch) job.reject(failure);
    }
    if (queue.length > 0) schedule();
    else onDrained?.();
  }

  return {
    write(operation) {
      if (isClosed) return Promise.reject(new PlatformError('store_unavailable', { detail: 'The database was closed.' }));
      return new Promise((resolve, reject) => {
        queue.push(newJob(operation, resolve, reject));
        schedule();
      });
    },
    onCommit(listener) {
      // A wrapper of its own per call, so that one function can listen twice.
      const own: PublishListener = (events) => listener(events);
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    async close() {
      isClosed = true;
      if (!isScheduled) return;
      await new Promise<void>((resolve) => {
        onDrained = resolve;
      });
    },
  };
}

function newJob<T>(operation: (tx: Transaction) => T, resolve: (value: T) => void, reject: (error: unknown) => void): Job {
  let answer: () => void = () => undefined;
  return {
    apply(tx) {
      const value = operation(tx);
      answer = () => resolve(value);
    },
    resolve: () => answer(),
    reject,
  };
}

/** Does the batch in one transaction; returns what to tell each caller now that it is on disk. */
function commit(db: Connection, batch: readonly Job[], published: StoredEvent[]): (() => void)[] {
  db.run('BEGIN IMMEDIATE');
  const settle = batch.map((job) => applyAlone(db, job, published));
  db.run('COMMIT');
  return settle;
}

function applyAlone(db: Connection, job: Job, published: StoredEvent[]): () => void {
  const mark = published.length;
  db.run('SAVEPOINT job');
  try {
    job.apply({ db, publish: (events) => void published.push(...events) });
    db.run('RELEASE job');
    return () => job.resolve();
  } catch (error) {
    if (isOfTransaction(error) || !db.isInTransaction()) throw error;
    published.length = mark;
    db.run('ROLLBACK TO job');
    db.run('RELEASE job');
    return () => job.reject(error);
  }
}

/** Gives the transaction up; returns what its callers are told. */
function abandon(db: Connection, error: unknown): unknown {
  try {
    if (db.isInTransaction()) db.run('ROLLBACK');
    return toStoreError(error);
  } catch (rollbackError) {
    return new PlatformError('store_unavailable', {
      cause: new AggregateError([error, rollbackError], 'a transaction could not be rolled back'),
    });
  }
}

function notify(listeners: ReadonlySet<PublishListener>, events: readonly StoredEvent[]): void {
  for (const listener of listeners) {
    try {
      listener(events);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
