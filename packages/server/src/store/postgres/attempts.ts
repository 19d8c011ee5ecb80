import type { PoolClient } from 'pg';
import { type Clock, delay } from '../../base/clock.ts';
import { jittered } from '../../base/jitter.ts';
import type { Logger } from '../../base/log.ts';
import type { Transaction } from '../sql/engine.ts';
import type { Query } from '../sql/query.ts';
import type { StoredEvent } from '../store.ts';
import { isConflict, isConnectionFailure, isPlanChanged, toStoreError } from './failures.ts';
import { findOutcome } from './outcome.ts';
import type { ConnectionPool } from './pool.ts';
import type { Scopes } from './row-security.ts';
import { createStatements } from './statements.ts';
import { runStatements, runTransaction, type Trace } from './transaction.ts';

/** Runs operations on connections of the pool, again from their start when they lost against others or the connection broke. */
export interface Attempts {
  read<T>(query: () => Query<T>): Promise<T>;
  write<T>(operation: (tx: Transaction) => Query<T>): Promise<Written<T>>;
}

/** What was committed, and the events to be told of it. */
export interface Written<T> {
  readonly value: T;
  readonly events: readonly StoredEvent[];
}

interface AttemptDeps {
  readonly pool: ConnectionPool;
  readonly scopes: Scopes;
  readonly clock: Clock;
  readonly log: Logger;
}

const MAX_ATTEMPTS = 8;
const CONFLICT_PAUSE_MS = 5;

type Attempt<T> = { readonly value: T } | { readonly failure: unknown };

export function createAttempts({ pool, scopes, clock, log }: AttemptDeps): Attempts {
  const statements = createStatements();
  const withClient = <T>(work: (client: PoolClient) => Promise<T>): Promise<T> => useClient(pool, work);

  function mayRetry(failure: unknown): boolean {
    if (!isPlanChanged(failure)) return isConflict(failure) || isConnectionFailure(failure);
    statements.forget();
    return true;
  }

  async function once<T>(work: () => Promise<T>): Promise<Attempt<T>> {
    try {
      return { value: await work() };
    } catch (failure) {
      if (mayRetry(failure)) return { failure };
      throw toStoreError(failure);
    }
  }

  async function untilDone<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      const attempt = await once(work);
      if ('value' in attempt) return attempt.value;
      if (tries === MAX_ATTEMPTS) throw toStoreError(attempt.failure);
      // Those that met do not meet again at once.
      if (isConflict(attempt.failure)) await delay(clock, jittered(CONFLICT_PAUSE_MS * 2 ** tries));
    }
  }

  async function write<T>(operation: (tx: Transaction) => Query<T>): Promise<Written<T>> {
    const events: StoredEvent[] = [];
    const trace: Trace<T> = { pid: undefined, boot: undefined, transactionId: undefined, committing: undefined };
    try {
      const query = operation({ publish: (more) => void events.push(...more) });
      return { value: await withClient((client) => runTransaction(client, { statements, scopes }, query, trace)), events };
    } catch (failure) {
      if (trace.committing === undefined || !isConnectionFailure(failure)) throw failure;
      const outcome = await findOutcome({ withClient, clock, log }, { ...trace, event: events[0] }, failure);
      if (outcome === 'aborted') throw failure;
      return { value: trace.committing.value, events };
    }
  }

  return {
    read: (query) => untilDone(() => withClient((client) => runStatements(client, statements, query(), scopes))),
    write: (operation) => untilDone(() => write(operation)),
  };
}

/** A connection that broke is not used again. */
async function useClient<T>(pool: ConnectionPool, work: (client: PoolClient) => Promise<T>): Promise<T> {
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
