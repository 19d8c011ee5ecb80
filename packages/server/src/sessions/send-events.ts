import { createHash } from 'node:crypto';
import { agentDefinitionSchema, type EventSendResponse, type SessionEvent } from '@cloister/api';
import { confirmationOf } from '../approvals/approvals.ts';
import { actingNow } from '../audit/acting.ts';
import type { Clock } from '../base/clock.ts';
import { crashPoint } from '../base/crash-points.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { toJsonObject } from '../base/json.ts';
import { currentWork } from '../base/work-context.ts';
import { type Tracer, toTraceparent } from '../core/tracing.ts';
import {
  type AcceptedEventInput,
  type AcceptResult,
  isTerminal,
  type JsonObject,
  type MessagePolicy,
  type Store,
  type StoredEvent,
  type TurnRow,
} from '../store/store.ts';
import { statusIdle, turnEnded } from '../turns/events.ts';
import type { EventBus } from './event-bus.ts';
import { filesOf, type SupportedEvent } from './supported-events.ts';
import { toTurn, toWireEvent } from './wire.ts';

/** What is told of a commit to whoever runs turns. */
export interface TurnSignal {
  messaged(sessionId: string): void;
  /** That turn is asked to stop. */
  interrupt(sessionId: string, turnId: string): void;
  confirmed(sessionId: string): void;
  /** False while the server drains. */
  isAccepting(): boolean;
}

export interface SendEventsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly bus: EventBus;
  readonly signal: TurnSignal;
  readonly maxQueuedPerSession: number;
  /** Bounds what waits in all; throws when there is no room. Left out, nothing is bounded. */
  readonly admit?: (tenantId: string, messages: number) => void;
  /** Throws for a file that is not there. */
  readonly checkFiles?: ((tenantId: string, ids: readonly string[]) => Promise<void>) | undefined;
  readonly tracer?: Tracer | undefined;
}

export interface SendEventsInput {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly events: readonly SupportedEvent[];
  readonly idempotencyKey?: string | undefined;
  /** The messages repeat that of this turn. */
  readonly retryOf?: string | undefined;
  /** The model that the turns of the messages have instead of the agent's. */
  readonly model?: string | undefined;
  /** The id of the one message's turn, for what has to be known of it before. */
  readonly turnId?: string | undefined;
  /** An interrupt is for this turn alone. */
  readonly interruptedTurn?: string | undefined;
  /** Hold the answer until the last message's turn ends or asks, for at most this long. */
  readonly waitMs?: number | undefined;
  /** The caller has gone: stop waiting. What was accepted stays accepted. */
  readonly abort?: AbortSignal | undefined;
}

/** Accepts events: when it resolves they are on disk. Then wakes whoever runs turns. */
export type SendEvents = (input: SendEventsInput) => Promise<EventSendResponse>;

const IDEMPOTENCY_MS = 24 * 3600 * 1000;
const RETRY_AFTER_MS = 5000;
const EVENTS_PER_PAGE = 1000;

export function createSendEvents(deps: SendEventsDeps): SendEvents {
  const { store, clock, signal } = deps;
  return async (input) => {
    if (!signal.isAccepting()) throw new PlatformError('draining', { retryAfterMs: RETRY_AFTER_MS });
    const { tenantId, sessionId } = input;
    const files = filesOf(input.events);
    if (files.length > 0) await deps.checkFiles?.(tenantId, files);
    const now = clock.now();
    deps.admit?.(tenantId, input.events.filter(({ type }) => type === 'user.message').length);
    const accepted = await traced(deps.tracer, input, (traceparent) =>
      store.turns.accept({
        tenantId,
        sessionId,
        events: input.events.map((event) => toAccepted(event, { ...input, traceparent, now })),
        ...(input.idempotencyKey === undefined
          ? {}
          : { idempotency: { key: input.idempotencyKey, requestHash: hash(input), keepMs: IDEMPOTENCY_MS } }),
        maxQueuedPerSession: deps.maxQueuedPerSession,
        policyOf,
        now,
      }),
    );
    crashPoint('accept.after_commit');
    if (!accepted.isReplay) announce(signal, accepted.events);
    const data = accepted.events.map(toWireEvent);
    const turnId = accepted.turnIds.at(-1);
    if (input.waitMs === undefined) return { data };
    if (turnId === undefined) return { data, turn: null, events: [] };
    const turn = await waitForTurn(deps, input, turnId, input.waitMs);
    return { data, turn: toTurn(turn), events: await eventsOfTurn(store, { tenantId, sessionId, turnId }) };
  };
}

/** The turns of a request that is traced belong to its trace, wherever they run. */
async function traced(
  tracer: Tracer | undefined,
  { sessionId }: SendEventsInput,
  accept: (traceparent: string | undefined) => Promise<AcceptResult>,
): Promise<AcceptResult> {
  const parent = currentWork()?.span;
  if (tracer === undefined || parent === undefined) return accept(undefined);
  const span = tracer.begin({ name: 'accept', kind: 'producer', parent, attributes: { 'cloister.session.id': sessionId } });
  try {
    const accepted = await accept(toTraceparent(span.context));
    span.set({ 'cloister.turn.id': accepted.turnIds.at(-1), 'cloister.replay': accepted.isReplay });
    span.end();
    return accepted;
  } finally {
    span.end({ failure: 'refused' });
  }
}

/** All of them, however many pages they are. */
async function eventsOfTurn(
  store: Store,
  turn: { readonly tenantId: string; readonly sessionId: string; readonly turnId: string },
): Promise<SessionEvent[]> {
  const events: SessionEvent[] = [];
  let page: string | undefined;
  do {
    const next = await store.events.list({ ...turn, limit: EVENTS_PER_PAGE, order: 'asc', page });
    events.push(...next.data.map(toWireEvent));
    page = next.next ?? undefined;
  } while (page !== undefined);
  return events;
}

function announce(signal: TurnSignal, events: readonly StoredEvent[]): void {
  for (const { type, sessionId, turnId } of events) {
    if (type === 'user.message') signal.messaged(sessionId);
    if (type === 'user.interrupt' && turnId !== null) signal.interrupt(sessionId, turnId);
    if (type === 'user.tool_confirmation') signal.confirmed(sessionId);
  }
}

const policySchema = agentDefinitionSchema.pick({ follow_up: true, max_concurrent_turns: true });

/** What an agent says of messages that come while it works. */
function policyOf(agent: JsonObject): MessagePolicy {
  const { follow_up: followUp, max_concurrent_turns: maxConcurrent } = policySchema.parse(agent);
  return { isRefusedWhileBusy: followUp === 'refuse', maxConcurrent };
}

interface Acceptance extends SendEventsInput {
  readonly traceparent: string | undefined;
  readonly now: number;
}

function toAccepted(event: SupportedEvent, { now, retryOf, interruptedTurn, model, turnId, traceparent }: Acceptance): AcceptedEventInput {
  const id = newId('event');
  switch (event.type) {
    case 'user.message':
      return {
        id,
        type: event.type,
        payload: toJsonObject({ content: event.content, retry_of: retryOf, model }),
        processedAt: null,
        effect: { kind: 'message', turnId: turnId ?? newId('turn'), traceparent },
      };
    case 'user.interrupt':
      return {
        id,
        type: event.type,
        payload: {},
        processedAt: now,
        effect: {
          kind: 'interrupt',
          turnId: interruptedTurn,
          ended: (turn) => [
            turnEnded({ turnId: turn.id, eventId: turn.eventId, outcome: 'cancelled', stopReason: 'cancelled', problem: null }, now),
          ],
          idle: statusIdle('end_turn', now),
        },
      };
    case 'user.tool_confirmation': {
      const denyMessage = event.deny_message ?? null;
      if (event.scope === 'session' && event.result === 'deny')
        throw new PlatformError('request_invalid', {
          detail: 'The scope "session" goes only with the result "allow".',
          fields: [{ pointer: '/events', message: 'scope session without allow' }],
        });
      if (denyMessage !== null && event.result === 'allow') {
        throw new PlatformError('request_invalid', {
          detail: 'deny_message goes only with the result "deny".',
          fields: [{ pointer: '/events', message: 'deny_message without deny' }],
        });
      }
      return {
        id,
        type: event.type,
        processedAt: now,
        payload: toJsonObject(
          confirmationOf(event.tool_use_id, { decision: event.result, scope: event.scope ?? 'once', message: denyMessage }),
        ),
        effect: {
          kind: 'confirmation',
          approvalId: event.tool_use_id,
          decision: event.result === 'allow' ? 'granted' : 'denied',
          denyMessage,
          scope: event.scope ?? 'once',
          decidedBy: actingNow(),
        },
      };
    }
  }
}

function hash({ sessionId, events, retryOf, model }: SendEventsInput): string {
  const more = [...(retryOf === undefined ? [] : [retryOf]), ...(model === undefined ? [] : [{ model }])];
  return createHash('sha256')
    .update(JSON.stringify(['POST events', sessionId, events, ...more]))
    .digest('hex');
}

/** Resolves with the turn when it has ended, when it asks for an approval, or when the time is over. */
async function waitForTurn(deps: SendEventsDeps, input: SendEventsInput, turnId: string, waitMs: number): Promise<TurnRow> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const unsubscribe = deps.bus.subscribe(input, {
    onEvents(events) {
      if (events.some((event) => event.type === 'session.deleted' || (event.turnId === turnId && isResting(event)))) resolve();
    },
    onPreview: () => undefined,
  });
  const cancelTimer = deps.clock.after(waitMs, resolve);
  if (input.abort?.aborted) resolve();
  input.abort?.addEventListener('abort', () => resolve(), { once: true });
  try {
    const before = await findTurn(deps.store, input.tenantId, turnId);
    if (isTerminal(before.state) || before.state === 'waiting_approval') return before;
    await promise;
    return await findTurn(deps.store, input.tenantId, turnId);
  } finally {
    cancelTimer();
    unsubscribe();
  }
}

function isResting(event: { readonly type: string; readonly payload: JsonObject }): boolean {
  if (event.type === 'turn.ended') return true;
  const reason = event.payload.stop_reason;
  return (
    event.type === 'session.status_idle' &&
    typeof reason === 'object' &&
    reason !== null &&
    'type' in reason &&
    reason.type === 'requires_action'
  );
}

async function findTurn(store: Store, tenantId: string, turnId: string): Promise<TurnRow> {
  const turn = await store.turns.find({ tenantId, id: turnId });
  if (turn === undefined) throw new PlatformError('session_not_found', { detail: 'The session was deleted.' });
  return turn;
}
