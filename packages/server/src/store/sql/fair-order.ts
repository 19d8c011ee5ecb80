import type { SessionKey } from '../store.ts';
import type { Transaction } from './engine.ts';
import { get, type Query, run } from './query.ts';
import { integer, optionalInteger } from './rows.ts';

/**
 * The order in which ready turns are leased: start-time fair queueing (P. Goyal, H. Vin, H. Cheng,
 * "Start-time Fair Queueing", SIGCOMM 1996) with one turn as the unit. A turn's rank is one more than that of its
 * tenant's last ready turn, and never less than that of the head of the queue. So the first turn of a tenant
 * comes next whatever another has queued, the second one round later, and finding the next turn reads one
 * index entry. Ranks mean nothing once nothing is ready, and begin at 0 again.
 *
 * Scheduled turns have their own place in their tenant's line, four to a round, and go before the head of the
 * backlog until that has waited for a minute: then it goes first, so that none waits for ever.
 */
const SCHEDULED_STEP = 0.25;
const AGED_MS = 60_000;

/** Two questions and not one with OR, for which PostgreSQL would read every turn the session has ever had. */
const CANDIDATE = ({ now }: { readonly now: string }) => `SELECT t.position, t.priority,
    (SELECT max(r.rank) FROM turns r WHERE r.is_ready = 1 AND r.tenant_id = t.tenant_id AND r.priority = t.priority) AS last_rank,
    (SELECT r.rank FROM turns r WHERE r.is_ready = 1 AND r.priority = 0 ORDER BY r.rank, r.position LIMIT 1) AS head_rank,
    (SELECT ${now} - r.ready_at FROM turns r WHERE r.is_ready = 1 AND r.priority = 0 ORDER BY r.rank, r.position LIMIT 1) AS head_waits,
    (SELECT r.rank FROM turns r WHERE r.id = :servedId) AS served_rank,
    (SELECT max(r.rank) FROM turns r WHERE r.tenant_id = :tenantId AND r.state = 'running') AS running_rank
  FROM turns t
  WHERE t.tenant_id = :tenantId AND t.session_id = :sessionId AND t.state = 'queued' AND t.is_ready = 0
    AND NOT EXISTS (SELECT 1 FROM turns o WHERE o.tenant_id = :tenantId AND o.session_id = :sessionId AND o.is_ready = 1)
    AND NOT EXISTS (SELECT 1 FROM turns o WHERE o.tenant_id = :tenantId AND o.session_id = :sessionId
      AND o.state IN ('running', 'waiting_approval'))
  ORDER BY t.position LIMIT 1`;
const PROMOTE = ({ now }: { readonly now: string }) =>
  `UPDATE turns SET is_ready = 1, rank = :rank, ready_at = ${now} WHERE position = :position`;

/**
 * Makes the oldest queued turn of the session ready, unless another one is, or is under way. `servedId` is the turn of
 * the session that has just ended: its tenant had its place in the round, so the next one comes after those who wait.
 */
export function* promoteNext(tx: Transaction, { tenantId, sessionId }: SessionKey, servedId: string | null = null): Query<void> {
  const row = yield* get(CANDIDATE, { tenantId, sessionId, servedId });
  if (row === undefined) return;
  const isScheduled = integer(row, 'priority') === 1;
  const wanted = rankOf({
    isScheduled,
    lastRank: optionalInteger(row, 'last_rank'),
    headRank: optionalInteger(row, 'head_rank'),
    headWaitsMs: optionalInteger(row, 'head_waits') ?? 0,
    servedRank: optionalInteger(row, 'served_rank'),
    runningRank: optionalInteger(row, 'running_rank'),
  });
  const line = `${tenantId} ${isScheduled ? 'scheduled' : 'message'}`;
  const rank = tx.takeRank?.(line, wanted, isScheduled ? SCHEDULED_STEP : 1) ?? wanted;
  yield* run(PROMOTE, { rank, position: integer(row, 'position') });
}

interface Queue {
  readonly isScheduled: boolean;
  /** Of the tenant's ready turns of the same kind. */
  readonly lastRank: number | null;
  readonly headRank: number | null;
  readonly headWaitsMs: number;
  /** Of the turn that has just ended, which may be of a round long ago. */
  readonly servedRank: number | null;
  /** Of the tenant's turns that run. */
  readonly runningRank: number | null;
}

export function rankOf({ isScheduled, lastRank, headRank, headWaitsMs, servedRank, runningRank }: Queue): number {
  const head = headRank ?? 0;
  const start = isScheduled && headRank !== null && headWaitsMs < AGED_MS ? head - SCHEDULED_STEP : head;
  if (lastRank === null && headRank !== null && servedRank !== null && !isScheduled)
    return Math.max(start, Math.min(Math.max(servedRank, runningRank ?? servedRank), headRank) + 1);
  if (lastRank === null) return start;
  return Math.max(lastRank + (isScheduled ? SCHEDULED_STEP : 1), start);
}
