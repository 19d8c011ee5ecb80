import type { PoolClient } from 'pg';
import { type Clock, delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Engine, Transaction } from '../sql/engine.ts';
import { noticesOf } from '../sql/notices.ts';
import type { Query } from '../sql/query.ts';
import type { CommitListener, CommitNotice, StoredEvent } from '../store.ts';
import { isConflict, isConnectionFailure, isPlanChanged, toStoreError } from './failures.ts';
import { findOutcome } from './outcome.ts';
import type { PeerLink } from './peers.ts';
import type { ConnectionPool } from './pool.ts';
import { createStatements } from './statements.ts';
import { runStatements, runTransaction, type Trace } from './transaction.ts';

export interface EngineDeps {
  readonly pool: ConnectionPool;
  readonly peers: PeerLink;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How often an operation is done again that lost against others, or whose connection broke. */
const MAX_ATTEMPTS = 8;
const CONFLICT_PAUSE_MS = 5;

/** What an attempt came to: the value, or a reason to try again. */
type Attempt<T> = { readonly value: T; readonly events: readonly StoredEvent[] } | { readonly failure: unknown };

export function createPostgresEngine(deps: EngineDeps): Engine {
  const { pool, peers, clock, log } = deps;
  const statements = createStatements();
  const listeners = new Set<CommitListener>();
  const open = new Set<Promise<unknown>>();
  let closing: Promise<void> | undefined;

  /** Does one operation with a connection of its own. A connection on which anything failed unexpectedly is not used again. */
  async function withClient<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.acquire();
    // Its error shows in the query that meets it.
    const ignore = (): void => undefined;
    client.on('error', ignore);
    try {
      const value = await work(client);
      client.release();
      return value;
    } catch (error) {
      client.release(isConnectionFailure(error));
      throw error;
    } finally {
      client.off('error', ignore);
    }
  }

  async function readOnce<T>(query: () => Query<T>): Promise<Attempt<T>> {
    try {
      return { value: await withClient((client) => runStatements(client, statements, query())), events: [] };
    } catch (failure) {
      if (mayRetry(failure)) return { failure };
      throw toStoreError(failure);
    }
  }

  async function writeOnce<T>(operation: (tx: Transaction) => Query<T>): Promise<Attempt<T>> {
    const events: StoredEvent[] = [];
    let trace: Trace | undefined;
    let result: { readonly value: T } | undefined;
    function* traced(): Query<T> {
      const value = yield* operation({ publish: (more) => void events.push(...more) });
      result = { value };
      return value;
    }
    try {
      const value = await withClient((client) => {
        trace = { pid: pidOf(client), transactionId: undefined, isCommitSent: false };
        return runTransaction(client, statements, traced(), trace);
      });
      return { value, events };
    } catch (failure) {
      const isUnclear = trace?.isCommitSent === true && isConnectionFailure(failure);
      if (!isUnclear || trace === undefined || result === undefined) {
        if (mayRetry(failure)) return { failure };
        throw toStoreError(failure);
      }
      const outcome = await findOutcome({ withClient, clock, log }, trace, failure);
      return outcome === 'committed' ? { value: result.value, events } : { failure };
    }
  }

  function mayRetry(failure: unknown): boolean {
    if (isPlanChanged(failure)) {
      statements.forget();
      return true;
    }
    return isConflict(failure) || isConnectionFailure(failure);
  }

  async function untilDone<T>(attempt: () => Promise<Attempt<T>>): Promise<{ readonly value: T; readonly events: readonly StoredEvent[] }> {
    for (let tries = 1; ; tries++) {
      const result = await attempt();
      if ('value' in result) return result;
      if (tries === MAX_ATTEMPTS) throw toStoreError(result.failure);
      // Those that met do not meet again at once.
      if (isConflict(result.failure)) await delay(clock, Math.random() * CONFLICT_PAUSE_MS * 2 ** tries);
    }
  }

  function tell(notices: readonly CommitNotice[]): void {
    for (const listener of listeners) {
      try {
        listener(notices);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  const stopPeers = peers.onNotices(tell);

  async function begin<T>(work: () => Promise<T>): Promise<T> {
    if (closing !== undefined) throw new PlatformError('store_unavailable', { detail: 'The database was closed.' });
    const running = work();
    open.add(running);
    try {
      return await running;
    } finally {
      open.delete(running);
    }
  }

  return {
    read: (query) => begin(async () => (await untilDone(() => readOnce(query))).value),
    write: (operation) =>
      begin(async () => {
        const { value, events } = await untilDone(() => writeOnce(operation));
        if (events.length > 0) {
          const notices = noticesOf(events);
          tell(notices);
          peers.announce(notices);
        }
        return value;
      }),
    onCommit(listener) {
      // A wrapper of its own per call, so that one function can listen twice.
      const own: CommitListener = (notices) => listener(notices);
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    peers,
    close() {
      closing ??= closeAll();
      return closing;
    },
  };

  async function closeAll(): Promise<void> {
    await Promise.allSettled(open);
    stopPeers();
    await peers.close();
    await pool.close();
  }
}

function pidOf(client: PoolClient): number | undefined {
  return 'processID' in client && typeof client.processID === 'number' ? client.processID : undefined;
}
