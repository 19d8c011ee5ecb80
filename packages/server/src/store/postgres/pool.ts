import { type ClientConfig, Pool, type PoolClient, types as pgTypes } from 'pg';
import { type Clock, delay } from '../../base/clock.ts';
import { invariant, PlatformError } from '../../base/errors.ts';
import { jittered } from '../../base/jitter.ts';
import type { Logger } from '../../base/log.ts';
import { noteBoot } from './boots.ts';
import { isConnectionFailure, toStoreError } from './failures.ts';

export interface ConnectionOptions {
  /** With its password in it: it goes to the client and nowhere else. */
  readonly url: string;
  readonly poolSize: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ConnectionPool {
  /** A connection for one operation. Throws `store_unavailable` when none is to be had in time. */
  acquire(): Promise<PoolClient>;
  /** Waits until all are given back, then closes them. */
  close(): Promise<void>;
}

/** What the server does by itself with a client that is slow or gone. */
const STATEMENT_MS = 9000;
const LOCK_MS = 8000;
const IDLE_IN_TRANSACTION_MS = 10_000;
/** A connection that answers nothing for this long is dead, though nobody has said so; longer than a statement may take. */
const SILENT_MS = 10_500;
const CONNECT_MS = 4000;
/** How long an operation waits for a connection, or for a database that is away to come back. */
const PATIENCE_MS = 4500;
const BACKOFF = { first: 50, most: 1000 } as const;
const KEEP_ALIVE_MS = 10_000;
const IDLE_MS = 60_000;

/**
 * Every statement of ours finds its few rows, and their order, by an index. A plan that was made while the tables
 * were small, or before anybody counted their rows, must not read or sort all of them once they are large.
 */
const PLANS = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET jit = off';

const INT8 = 20;
const NUMERIC = 1700;

/** Whole numbers of 64 bits are numbers in JavaScript: times, counts and places, all far below 2^53. */
const types = {
  getTypeParser: ((oid: number, format?: 'text') =>
    oid === INT8 || oid === NUMERIC ? Number : pgTypes.getTypeParser(oid, format)) as typeof pgTypes.getTypeParser,
};

export function clientConfig({ url }: Pick<ConnectionOptions, 'url'>): ClientConfig {
  return {
    connectionString: url,
    fallback_application_name: 'cloister',
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    types,
  };
}

export function createPool(options: ConnectionOptions): ConnectionPool {
  const { clock, log, poolSize } = options;
  const pool = new Pool({
    ...clientConfig(options),
    max: poolSize,
    idleTimeoutMillis: IDLE_MS,
    allowExitOnIdle: true,
    statement_timeout: STATEMENT_MS,
    lock_timeout: LOCK_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    query_timeout: SILENT_MS,
    // Statements may follow each other without waiting, and a silent connection is cut and not only given up.
    pipeline: true,
  });
  pool.on('connect', (client) => {
    // Goes ahead of the first statement; a connection on which it fails is broken, and that statement says so.
    void client.query(PLANS).catch(() => undefined);
    noteBoot(client);
  });
  // Of an idle connection; the pool has dropped it already.
  pool.on('error', (error) => log.debug({ reason: error.message }, 'an idle connection to PostgreSQL was lost'));
  const outage = createOutage(options, () => pool.connect());
  const closing = new AbortController();
  let closed: Promise<void> | undefined;

  async function acquire(): Promise<PoolClient> {
    const deadline = clock.monotonic() + PATIENCE_MS;
    for (;;) {
      if (closing.signal.aborted) throw new PlatformError('store_unavailable', { detail: 'The database was closed.' });
      await outage.over(deadline);
      try {
        return await pool.connect();
      } catch (error) {
        if (!isConnectionFailure(error)) throw toStoreError(error);
        if (isPoolBusy(error))
          throw new PlatformError('store_unavailable', { detail: 'All connections to the database are busy.', cause: error });
        outage.begin(error);
      }
    }
  }

  return {
    acquire,
    close() {
      closing.abort();
      outage.end();
      closed ??= pool.end();
      return closed;
    },
  };
}

function isPoolBusy(error: unknown): boolean {
  return error instanceof Error && error.message === 'timeout exceeded when trying to connect';
}

interface Outage {
  begin(error: unknown): void;
  /** Resolves when the database answers; throws `store_unavailable` at the deadline. */
  over(deadline: number): Promise<void>;
  end(): void;
}

/** While the database is away one asks for it, ever more seldom, and all others wait for that one. */
function createOutage({ clock, log }: ConnectionOptions, connect: () => Promise<PoolClient>): Outage {
  let current: { readonly back: Promise<void>; readonly error: unknown } | undefined;
  const ended = new AbortController();

  async function probe(): Promise<void> {
    for (let wait: number = BACKOFF.first; !ended.signal.aborted; wait = Math.min(wait * 2, BACKOFF.most)) {
      await delay(clock, jittered(wait), ended.signal);
      try {
        (await connect()).release();
        return;
      } catch (error) {
        if (!isConnectionFailure(error)) return;
      }
    }
  }

  return {
    begin(error) {
      if (current !== undefined || ended.signal.aborted) return;
      log.warn({ reason: error instanceof Error ? error.message : String(error) }, 'PostgreSQL does not answer; trying again');
      const back = probe()
        .then(() => log.info('PostgreSQL answers'))
        .catch((cause: unknown) => invariant(ended.signal.aborted, `only its end stops the probe: ${String(cause)}`))
        .finally(() => {
          current = undefined;
        });
      current = { back, error };
    },
    async over(deadline) {
      if (current === undefined) return;
      const { back, error } = current;
      const { promise, resolve } = Promise.withResolvers<'late'>();
      const cancel = clock.after(Math.max(0, deadline - clock.monotonic()), () => resolve('late'));
      const first = await Promise.race([back, promise]);
      cancel();
      if (first === 'late') throw new PlatformError('store_unavailable', { detail: 'The database does not answer.', cause: error });
    },
    end: () => ended.abort(),
  };
}
