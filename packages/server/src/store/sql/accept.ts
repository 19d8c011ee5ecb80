import { toTimestamp } from '../../base/clock.ts';
import { crashPoint } from '../../base/crash-points.ts';
import { invariant, PlatformError } from '../../base/errors.ts';
import type { SessionKey } from '../store.ts';
import { type AcceptedEventInput, type AcceptInput, type AcceptResult, isTerminal, type StoredEvent, type TurnRow } from '../store.ts';
import { resumeAfterBudget } from './approvals.ts';
import type { Transaction } from './engine.ts';
import { appendEvents } from './event-log.ts';
import { promoteNext } from './fair-order.ts';
import { findReplay, rememberKey } from './idempotency.ts';
import { LIMITS_OF, parseLimits, takeMessages } from './plans.ts';
import { get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, json, optionalInteger, parseApproval, parseTurn, text } from './rows.ts';
import { endSteered } from './steering.ts';
import { findOldestQueued, findUnderWay, setSessionState, settleTurn, unparkTurn } from './turn-queue.ts';

/** Holds the session from here on, as `lockSession` does. */
const FIND_SESSION: Sql = ({ forUpdate }) => `SELECT s.agent_id, s.archived_at, d.agent, ${LIMITS_OF('s.tenant_id')} AS plan_limits
  FROM sessions s JOIN session_definitions d ON d.tenant_id = s.tenant_id AND d.session_id = s.id
  WHERE s.tenant_id = :tenantId AND s.id = :sessionId ${forUpdate('s')}`;
const COUNT_QUEUED = `SELECT count(*) AS queued FROM turns WHERE tenant_id = :tenantId AND session_id = :sessionId AND state = 'queued'`;
const INSERT_TURN = `INSERT INTO turns (tenant_id, session_id, id, event_id, agent_id, agent_cap, priority, state, traceparent, created_at)
  VALUES (:tenantId, :sessionId, :turnId, :eventId, :agentId, :agentCap, :priority, 'queued', :traceparent, :now)`;
const HAS_OPEN = `SELECT 1 AS found FROM turns WHERE tenant_id = :tenantId AND session_id = :sessionId
  AND state IN ('queued', 'running', 'waiting_approval') LIMIT 1`;
const FIND_TURN = 'SELECT * FROM turns WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :turnId';
const REQUEST_CANCEL = 'UPDATE turns SET cancel_requested = 1 WHERE id = :turnId';
const CANCEL_TURN = `UPDATE turns SET state = 'cancelled', is_ready = 0, retry_at = NULL, stop_reason = 'cancelled', ended_at = :now
  WHERE id = :turnId AND lease_owner IS NULL AND state IN ('queued', 'waiting_approval')`;
const FIND_APPROVAL = 'SELECT * FROM approvals WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :approvalId';
const DECIDE = `UPDATE approvals SET state = :decision, deny_message = :denyMessage, decided_at = :now, decided_by = :decidedBy,
    scope = :scope, raise_micros = :raiseMicros
  WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :approvalId AND state = 'pending'`;

const RETRY_AFTER_MS = 5000;

type Effect = AcceptedEventInput['effect'];
type EffectOf<K extends Effect['kind']> = Extract<Effect, { readonly kind: K }>;
/** An effect that has its event in the log, or does without one: returns the event. */
type Append = (turnId: string | null) => Query<StoredEvent>;

export function* accept(tx: Transaction, input: AcceptInput): Query<AcceptResult> {
  const { tenantId, sessionId } = input;
  const session = yield* get(FIND_SESSION, { tenantId, sessionId });
  if (session === undefined) throw new PlatformError('session_not_found');
  const replay = yield* findReplay(input);
  if (replay !== undefined) return replay;
  if (optionalInteger(session, 'archived_at') !== null) throw new PlatformError('session_archived');
  const target = { agentId: text(session, 'agent_id'), agentCap: yield* requireTaken(input, session) };
  yield* takeRoom(input, session);
  const events: StoredEvent[] = [];
  for (const event of input.events) events.push(yield* acceptOne(tx, { ...input, ...target }, event));
  const turnIds = input.events.flatMap(({ effect }) => (effect.kind === 'message' ? [effect.turnId] : []));
  if (turnIds.length > 0) yield* promoteNext(tx, { tenantId, sessionId });
  if (input.idempotency !== undefined) {
    yield* rememberKey({ tenantId, sessionId }, { ...input.idempotency, eventIds: events.map((event) => event.id), turnIds });
  }
  crashPoint('accept.before_commit');
  return { events, turnIds, isReplay: false };
}

/** Messages count towards the plan in the commit that takes them. */
function* takeRoom({ tenantId, events, now }: AcceptInput, session: Row): Query<void> {
  const count = events.filter(isMessage).length;
  if (count > 0 && session.plan_limits !== null) yield* takeMessages(tenantId, parseLimits(json(session, 'plan_limits')), count, now);
}

type SessionInput = AcceptInput & { readonly agentId: string; readonly agentCap: number | null };

/** Asks the agent's policy whether it takes messages now; answers its cap. */
function* requireTaken({ tenantId, sessionId, events, policyOf }: AcceptInput, session: Row): Query<number | null> {
  if (policyOf === undefined || !events.some(isMessage)) return null;
  const { isRefusedWhileBusy, maxConcurrent } = policyOf(json(session, 'agent'));
  if (isRefusedWhileBusy && (yield* get(HAS_OPEN, { tenantId, sessionId })) !== undefined)
    throw new PlatformError('session_busy', { detail: 'The agent takes no message while it works on another.' });
  return maxConcurrent;
}

function isMessage({ effect }: AcceptedEventInput): boolean {
  return effect.kind === 'message';
}

function* acceptOne(tx: Transaction, input: SessionInput, { effect, ...event }: AcceptedEventInput): Query<StoredEvent> {
  const { tenantId, sessionId, now } = input;
  const session = { tenantId, sessionId };
  const append: Append = function* (turnId) {
    const [stored] = yield* appendEvents(tx, session, { events: [event], turnId, now });
    invariant(stored !== undefined, 'one event in, one event out');
    return stored;
  };
  switch (effect.kind) {
    case 'message':
      return yield* queueTurn(input, effect, append);
    case 'interrupt':
      return yield* interrupt(tx, { ...session, now }, effect, append);
    case 'confirmation':
      return yield* decide(tx, { ...session, now }, effect, append);
    case 'none':
      return yield* append(null);
  }
}

function* queueTurn(input: SessionInput, effect: EffectOf<'message'>, append: Append): Query<StoredEvent> {
  const { tenantId, sessionId, agentId, agentCap, maxQueuedPerSession, now } = input;
  const { turnId, priority = 'message', traceparent = null } = effect;
  const row = yield* get(COUNT_QUEUED, { tenantId, sessionId });
  if (row !== undefined && integer(row, 'queued') >= maxQueuedPerSession) {
    throw new PlatformError('capacity_exhausted', {
      detail: `${maxQueuedPerSession} messages of this session are waiting already.`,
      retryAfterMs: RETRY_AFTER_MS,
    });
  }
  const event = yield* append(turnId);
  yield* run(INSERT_TURN, {
    tenantId,
    sessionId,
    turnId,
    eventId: event.id,
    agentId,
    agentCap,
    priority: priority === 'scheduled' ? 1 : 0,
    traceparent,
    now,
  });
  return event;
}

type At = SessionKey & { readonly now: number };

/** A run is asked to stop and writes its own end; what no run holds is ended here. */
function* interrupt(tx: Transaction, at: At, effect: EffectOf<'interrupt'>, append: Append): Query<StoredEvent> {
  const target =
    effect.turnId === undefined ? ((yield* findUnderWay(at)) ?? (yield* findOldestQueued(at))) : yield* findOpen(at, effect.turnId);
  const event = yield* append(target?.id ?? null);
  if (target === undefined) return event;
  if (target.leaseOwner === null) yield* cancelTurn(tx, at, effect, target);
  else yield* run(REQUEST_CANCEL, { turnId: target.id });
  return event;
}

function* findOpen({ tenantId, sessionId }: At, turnId: string): Query<TurnRow> {
  const turn = yield* getAs(parseTurn, FIND_TURN, { tenantId, sessionId, turnId });
  if (turn === undefined) throw new PlatformError('turn_not_found');
  if (isTerminal(turn.state)) throw new PlatformError('turn_ended', { detail: `The turn has ended: ${turn.state}.` });
  if (turn.steeredInto === null) return turn;
  throw new PlatformError('turn_ended', { detail: `Its message was handed to the turn ${turn.steeredInto}; stop that one.` });
}

function* cancelTurn(tx: Transaction, at: At, effect: EffectOf<'interrupt'>, turn: TurnRow): Query<void> {
  const changed = yield* run(CANCEL_TURN, { turnId: turn.id, now: at.now });
  invariant(changed === 1, 'a turn without a lease can be cancelled');
  yield* settleTurn(at, turn.id, at.now);
  yield* appendEvents(tx, at, { events: effect.ended(turn), turnId: turn.id, now: at.now });
  yield* endSteered(tx, turn, { outcome: 'cancelled', stopReason: 'cancelled', error: null, ended: effect.ended, now: at.now });
  // One of several that wait behind a running turn: the session goes on as it is.
  if (turn.state === 'queued' && (yield* findUnderWay(at)) !== undefined) return;
  const isLast = (yield* findOldestQueued(at)) === undefined;
  if (isLast) yield* appendEvents(tx, at, { events: [effect.idle], turnId: turn.id, now: at.now });
  // With others queued the session is idle too, until one of them is leased: nobody waits for an answer any more.
  yield* setSessionState(at, 'idle', at.now);
  yield* promoteNext(tx, at);
}

function* decide(tx: Transaction, at: At, effect: EffectOf<'confirmation'>, append: Append): Query<StoredEvent> {
  const { tenantId, sessionId, now } = at;
  const { approvalId, decision, denyMessage, scope = 'once', raiseMicros = null, decidedBy = null, running } = effect;
  const approval = yield* getAs(parseApproval, FIND_APPROVAL, { tenantId, sessionId, approvalId });
  if (approval === undefined)
    throw new PlatformError('event_not_found', { detail: `No tool call ${approvalId} of this session asks for an answer.` });
  if (approval.kind === 'budget' && running === undefined)
    throw new PlatformError('event_not_found', {
      detail: `${approvalId} asks about a budget: answer it at /v1/approvals/${approvalId}/answer.`,
    });
  if (approval.state !== 'pending') {
    const { state, decidedBy, decidedAt } = approval;
    const who = decidedBy === null ? '' : ` by ${decidedBy}`;
    const when = decidedAt === null ? '' : ` at ${toTimestamp(decidedAt)}`;
    throw new PlatformError('approval_not_pending', { detail: `The question is answered: ${state}${who}${when}.` });
  }
  const { turnId } = approval;
  const event = yield* append(turnId);
  yield* run(DECIDE, { tenantId, sessionId, approvalId, decision, denyMessage, decidedBy, scope, raiseMicros, now });
  if (running !== undefined) yield* resumeAfterBudget(tx, approval, { isRaised: decision === 'granted', running, now });
  yield* unparkTurn(turnId);
  return event;
}
