import type { PoolClient } from 'pg';
import { type Clock, delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { StoredEvent } from '../store.ts';
import { bootOf } from './boots.ts';
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

/** Its number lies before those that the database has given: it gave it, but did not keep that. */
const NEVER_GIVEN = /is in the future/;
const HAS_EVENT = 'SELECT 1 AS found FROM events WHERE tenant_id = $1 AND session_id = $2 AND id = $3';

interface Lost extends Pick<Trace<unknown>, 'pid' | 'transactionId' | 'boot'> {
  /** One that it has written. */
  readonly event: StoredEvent | undefined;
}

/**
 * Finds out what became of a transaction whose connection broke during its commit. Throws `store_unavailable`,
 * caused by an `OutcomeUnknown`, when the database cannot be asked for so long that the caller has to decide, or when
 * it has crashed and nothing of the transaction tells.
 */
export async function findOutcome({ withClient, clock, log }: OutcomeDeps, lost: Lost, failure: unknown): Promise<Outcome> {
  const { transactionId: id } = lost;
  // It has written nothing: that is as good as rolled back.
  if (id === undefined) return 'aborted';
  const deadline = clock.monotonic() + PATIENCE_MS;
  for (;;) {
    try {
      const status = await withClient((client) => statusOf(client, lost, id));
      if (status === 'committed' || status === 'aborted') return status;
      if (status === 'unknown') break;
    } catch (error) {
      if (!isConnectionFailure(error) && !(error instanceof PlatformError)) throw error;
    }
    if (clock.monotonic() > deadline) break;
    await delay(clock, PAUSE_MS);
  }
  log.error({ transaction: id }, 'a connection broke during a commit, and its outcome could not be found out');
  throw new PlatformError('store_unavailable', { cause: new OutcomeUnknown(failure) });
}

async function statusOf(client: PoolClient, lost: Lost, id: string): Promise<Outcome | 'in progress' | 'unknown'> {
  const status = await askByNumber(client, id);
  if (status === 'committed' && !(await isSameBoot(client, lost))) return byEvent(client, lost.event);
  if (status === 'in progress' && lost.pid !== undefined) await client.query(GIVE_UP, [lost.pid, id]);
  return status;
}

async function isSameBoot(client: PoolClient, lost: Lost): Promise<boolean> {
  const boot = await lost.boot;
  return boot !== undefined && boot === (await bootOf(client));
}

async function askByNumber(client: PoolClient, id: string): Promise<Outcome | 'in progress' | 'unknown'> {
  try {
    const { rows } = await client.query<{ status: Outcome | 'in progress' | null }>(STATUS, [id]);
    return rows[0]?.status ?? 'unknown';
  } catch (error) {
    if (error instanceof Error && NEVER_GIVEN.test(error.message)) return 'aborted';
    throw error;
  }
}

/** After a crash another transaction may have the number. */
async function byEvent(client: PoolClient, event: StoredEvent | undefined): Promise<Outcome | 'unknown'> {
  if (event === undefined) return 'unknown';
  const { rows } = await client.query(HAS_EVENT, [event.tenantId, event.sessionId, event.id]);
  return rows.length > 0 ? 'committed' : 'aborted';
}
