import type { PoolClient } from 'pg';
import { type Clock, delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { isConnectionFailure, OutcomeUnknown } from './failures.ts';
import type { Trace } from './transaction.ts';

export type Outcome = 'committed' | 'aborted';

interface OutcomeDeps {
  readonly withClient: <T>(work: (client: PoolClient) => Promise<T>) => Promise<T>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Long enough for a restart of the database. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 250;

const STATUS = 'SELECT pg_xact_status($1::text::xid8) AS status';
/** Its connection is gone, so nobody is left who could commit it; only, the server may not know that yet. */
const GIVE_UP = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1::int AND backend_xid = ($2::text::xid8)::xid';

/**
 * Finds out what became of a transaction whose connection broke during its commit. Throws `store_unavailable`,
 * caused by an `OutcomeUnknown`, when the database cannot be asked for so long that the caller has to decide.
 */
export async function findOutcome(
  { withClient, clock, log }: OutcomeDeps,
  trace: Pick<Trace<unknown>, 'pid' | 'transactionId'>,
  failure: unknown,
): Promise<Outcome> {
  const { transactionId: id } = trace;
  // It has written nothing: that is as good as rolled back.
  if (id === undefined) return 'aborted';
  const deadline = clock.monotonic() + PATIENCE_MS;
  for (;;) {
    try {
      const status = await withClient((client) => statusOf(client, trace.pid, id));
      if (status === 'committed' || status === 'aborted') return status;
      if (status === null) break;
    } catch (error) {
      if (!isConnectionFailure(error) && !(error instanceof PlatformError)) throw error;
    }
    if (clock.monotonic() > deadline) break;
    await delay(clock, PAUSE_MS);
  }
  log.error({ transaction: id }, 'a connection broke during a commit, and its outcome could not be found out');
  throw new PlatformError('store_unavailable', { cause: new OutcomeUnknown(failure) });
}

async function statusOf(client: PoolClient, pid: number | undefined, id: string): Promise<string | null | undefined> {
  const { rows } = await client.query<{ status: string | null }>(STATUS, [id]);
  const status = rows[0]?.status;
  if (status === 'in progress' && pid !== undefined) await client.query(GIVE_UP, [pid, id]);
  return status;
}
