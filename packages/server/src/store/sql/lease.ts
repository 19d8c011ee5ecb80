import { invariant } from '../../base/errors.ts';
import type { LeasedTurn, TurnRow, TurnStore } from '../store.ts';
import type { Transaction } from './engine.ts';
import { appendEvents } from './event-log.ts';
import { get, type Query } from './query.ts';
import { parseEvent, parseTurn } from './rows.ts';
import { requireSession } from './sessions.ts';
import { addActiveTime, approvalsOfTurn, setSessionState } from './turn-queue.ts';

const LEASE = `UPDATE turns SET state = 'running', is_ready = 0, attempt = attempt + 1, lease_owner = :nodeId, lease_until = :leaseUntil,
    prompted_at = NULL, started_at = :now
  WHERE position = (SELECT position FROM turns WHERE is_ready = 1 ORDER BY position LIMIT 1)
  RETURNING *`;
const FIND_DEAD = `SELECT * FROM turns
  WHERE lease_owner IS NOT NULL AND lease_owner <> :nodeId AND (:isSoleNode = 1 OR lease_until <= :now) ORDER BY position LIMIT 1`;
const TAKE_OVER = `UPDATE turns SET attempt = attempt + 1, lease_owner = :nodeId, lease_until = :leaseUntil, started_at = :now
  WHERE id = :id AND attempt = :attempt AND lease_owner IS NOT NULL RETURNING *`;
const FIND_MESSAGE = 'SELECT * FROM events WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :eventId';

export function* lease(tx: Transaction, input: Parameters<TurnStore['lease']>[0]): Query<LeasedTurn | undefined> {
  const { nodeId, leaseUntil, now } = input;
  const row = yield* get(LEASE, { nodeId, leaseUntil, now });
  if (row === undefined) return undefined;
  const turn = parseTurn(row);
  const { state } = yield* requireSession(turn.tenantId, turn.sessionId);
  if (state !== 'running') {
    yield* appendEvents(tx, turn, { events: [input.running], turnId: turn.id, now });
    yield* setSessionState(turn, 'running', now);
  }
  return yield* toLeased(turn);
}

export function* takeOver(input: Parameters<TurnStore['takeOver']>[0]): Query<LeasedTurn | undefined> {
  const { nodeId, leaseUntil, now } = input;
  const found = yield* get(FIND_DEAD, { nodeId, now, isSoleNode: input.isSoleNode ? 1 : 0 });
  if (found === undefined) return undefined;
  const dead = parseTurn(found);
  const row = yield* get(TAKE_OVER, { nodeId, leaseUntil, now, id: dead.id, attempt: dead.attempt });
  invariant(row !== undefined, 'nothing comes between two statements of a transaction');
  // How long the dead run worked is not known; after its lease it did not.
  yield* addActiveTime(dead, dead.startedAt, Math.min(now, dead.leaseUntil ?? now));
  return yield* toLeased(parseTurn(row));
}

function* toLeased(turn: TurnRow): Query<LeasedTurn> {
  const { tenantId, sessionId, eventId } = turn;
  const message = yield* get(FIND_MESSAGE, { tenantId, sessionId, eventId });
  invariant(message !== undefined, 'a turn has the message that asked for it');
  return {
    turn,
    session: yield* requireSession(tenantId, sessionId),
    message: parseEvent(message),
    approvals: yield* approvalsOfTurn(turn.id),
  };
}
