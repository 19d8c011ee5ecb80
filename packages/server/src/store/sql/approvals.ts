import { PlatformError } from '../../base/errors.ts';
import { canonicalJson } from '../../base/json.ts';
import { type ApprovalOfAgent, type ApprovalRow, type ApprovalStore, isTerminal, type NewEvent, type SessionKey } from '../store.ts';
import type { Engine, Transaction } from './engine.ts';
import { appendEvents } from './event-log.ts';
import { filtersOf, listPage } from './listing.ts';
import { lockSession } from './locks.ts';
import { allAs, type Dialect, get, getAs, type Query, type Row, run } from './query.ts';
import { parseApproval, parseTurn, text } from './rows.ts';
import { setSessionState, unparkTurn } from './turn-queue.ts';

const SELECT = 'SELECT a.*, s.agent_id FROM approvals a JOIN sessions s ON s.tenant_id = a.tenant_id AND s.id = a.session_id';
const FIND = `${SELECT} WHERE a.tenant_id = :tenantId AND a.id = :id`;
const FIND_TURN = 'SELECT * FROM turns WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :turnId';
const PENDING_OF_TURN = `SELECT * FROM approvals WHERE turn_id = :turnId AND state = 'pending' ORDER BY position`;
const INSERT = `INSERT INTO approvals (tenant_id, session_id, id, turn_id, tool_name, input, state, created_at, position, kind, expires_at)
  VALUES (:tenantId, :sessionId, :id, :turnId, 'budget', :subject, 'pending', :now,
    (SELECT coalesce(max(position), 0) + 1 FROM approvals WHERE turn_id = :turnId), 'budget', :expiresAt)`;
const SET_TURN = `UPDATE turns SET state = :state WHERE id = :turnId AND lease_owner IS NOT NULL`;
const OVERDUE = `SELECT * FROM approvals WHERE state = 'pending' AND expires_at <= :now ORDER BY expires_at LIMIT 1`;
const EXPIRE = `UPDATE approvals SET state = 'expired', deny_message = :message, decided_at = :now, decided_by = 'system'
  WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :id AND state = 'pending'`;
/** Nobody will raise it any more: a turn that was parked with the question ends when it is taken up. */
const STOP_PARKED = `UPDATE turns SET cancel_requested = 1 WHERE id = :turnId AND state = 'waiting_approval' AND lease_owner IS NULL`;

export function createApprovalStore(engine: Engine): ApprovalStore {
  return {
    find: ({ tenantId, id }) => engine.read(() => getAs(parseOfAgent, FIND, { tenantId, id })),
    list: ({ tenantId, sessionId, agentId, states, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['approvals', tenantId, sessionId ?? '', agentId ?? '', ...(states ?? [])],
            select: SELECT,
            filters: filtersOf(
              {
                tenantId,
                ...(sessionId !== undefined && { sessionId }),
                ...(agentId !== undefined && { agentId }),
                ...(states !== undefined && { states: JSON.stringify(states) }),
              },
              [
                'a.tenant_id = :tenantId',
                sessionId === undefined ? undefined : 'a.session_id = :sessionId',
                agentId === undefined ? undefined : 's.agent_id = :agentId',
                states === undefined ? undefined : (dialect: Dialect) => `a.state IN ${dialect.listOf('states')}`,
              ],
            ),
            keys: [
              { column: 'a.created_at', as: 'created_at' },
              { column: 'a.id', as: 'id' },
            ],
            parse: parseOfAgent,
          },
          input,
        ),
      ),
    ask: (input) => engine.write((tx) => ask(tx, input)),
    expire: (input) => engine.write((tx) => expire(tx, input)),
  };
}

function* ask(tx: Transaction, input: Parameters<ApprovalStore['ask']>[0]): Query<ApprovalOfAgent> {
  const { tenantId, sessionId, turnId, subject, expiresAt, event, now } = input;
  const session = { tenantId, sessionId };
  yield* lockSession(session);
  const turn = yield* getAs(parseTurn, FIND_TURN, { ...session, turnId });
  if (turn === undefined) throw new PlatformError('turn_not_found');
  if (isTerminal(turn.state)) throw new PlatformError('turn_ended', { detail: `The turn has ended: ${turn.state}.` });
  const pending = yield* allAs(parseApproval, PENDING_OF_TURN, { turnId });
  const same = pending.find((one) => one.kind === 'budget' && canonicalJson(one.input) === canonicalJson(subject));
  if (same === undefined) {
    yield* run(INSERT, { ...session, id: event.id, turnId, subject: JSON.stringify(subject), expiresAt, now });
    const waiting = input.waiting([...pending.map(({ id }) => id), event.id]);
    yield* appendEvents(tx, session, { events: [event, waiting], turnId, now });
    yield* run(SET_TURN, { turnId, state: 'waiting_approval' });
    yield* setSessionState(session, 'waiting', now);
  }
  const found = yield* getAs(parseOfAgent, FIND, { tenantId, id: same?.id ?? event.id });
  if (found === undefined) throw new PlatformError('bug', { cause: new Error('a question that was asked is there') });
  return found;
}

function* expire(
  tx: Transaction,
  { message, event, running, now }: Parameters<ApprovalStore['expire']>[0],
): Query<ApprovalRow | undefined> {
  const overdue = yield* getAs(parseApproval, OVERDUE, { now });
  if (overdue === undefined) return undefined;
  const { tenantId, sessionId, id, turnId } = overdue;
  yield* lockSession({ tenantId, sessionId });
  // Somebody may have answered while we waited for the session.
  if ((yield* run(EXPIRE, { tenantId, sessionId, id, message, now })) === 0) return overdue;
  yield* appendEvents(tx, overdue, { events: [event(overdue)], turnId, now });
  yield* resumeAfterBudget(tx, overdue, { isRaised: false, running, now });
  yield* unparkTurn(turnId);
  return overdue;
}

/** A run that only waits for its budget goes on, whatever was decided: it is told by whoever asked. */
export function* resumeAfterBudget(
  tx: Transaction,
  { kind, turnId, ...session }: Pick<ApprovalRow, 'kind' | 'turnId'> & SessionKey,
  { isRaised, running, now }: { readonly isRaised: boolean; readonly running: (now: number) => NewEvent; readonly now: number },
): Query<void> {
  if (kind !== 'budget') return;
  if (!isRaised) yield* run(STOP_PARKED, { turnId });
  if ((yield* get(PENDING_OF_TURN, { turnId })) !== undefined) return;
  if ((yield* run(SET_TURN, { turnId, state: 'running' })) === 0) return;
  yield* appendEvents(tx, session, { events: [running(now)], turnId, now });
  yield* setSessionState(session, 'running', now);
}

function parseOfAgent(row: Row): ApprovalOfAgent {
  return { ...parseApproval(row), agentId: text(row, 'agent_id') };
}
