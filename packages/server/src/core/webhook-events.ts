import type { WebhookEventType } from '@cloister/api';
import { asJsonObject, type JsonObject } from '../base/json.ts';

/** What an endpoint is told: a type, and ids enough to look the rest up. */
export interface WebhookMessage {
  /** Stable: the same at every attempt and for every endpoint, so that receivers drop what they have seen. */
  readonly id: string;
  readonly type: WebhookEventType;
  readonly data: JsonObject & { readonly id: string };
}

/** The fields of an event of a session's log that a message is made of. */
export interface LoggedEvent {
  readonly id: string;
  readonly type: string;
  readonly payload: JsonObject;
  readonly sessionId: string;
  readonly turnId: string | null;
  readonly seq: number;
}

type Message = Omit<WebhookMessage, 'id'>;

/** Events of the log by the webhooks they make. What is not here makes none: content stays in the log. */
const MESSAGES: Readonly<Record<string, (event: LoggedEvent) => readonly Message[]>> = {
  'session.status_running': (event) => [aboutSession('session.status_run_started', event)],
  'session.status_idle': (event) => [
    aboutSession('session.status_idled', event),
    ...(asJsonObject(event.payload.stop_reason).type === 'requires_action' ? [aboutSession('session.requires_action', event)] : []),
  ],
  'session.status_rescheduled': (event) => [aboutSession('session.status_rescheduled', event)],
  'session.status_terminated': (event) => [aboutSession('session.status_terminated', event)],
  'session.updated': (event) => [aboutSession('session.updated', event)],
  'session.deleted': (event) => [aboutSession('session.deleted', event)],
  'turn.ended': (event) => [aboutTurn(event)],
  'delivery.failed': (event) => [aboutDelivery(event)],
};

/** The messages of an event. The first has the event's own id, so that it can be found in the log. */
export function webhookMessages(event: LoggedEvent): readonly WebhookMessage[] {
  const messages = MESSAGES[event.type]?.(event) ?? [];
  return messages.map((message, index) => ({ ...message, id: index === 0 ? event.id : `${event.id}-${index}` }));
}

function aboutSession(type: WebhookEventType, event: LoggedEvent): Message {
  return { type, data: { id: event.sessionId, ...place(event) } };
}

function aboutTurn(event: LoggedEvent): Message {
  const { outcome = null, stop_reason = null, event_id = null } = event.payload;
  const error = asJsonObject(event.payload.error).code ?? null;
  return {
    type: 'cloister.turn.ended',
    data: { id: event.turnId ?? event.sessionId, ...place(event), outcome, stop_reason, error_code: error, event_id },
  };
}

function aboutDelivery(event: LoggedEvent): Message {
  const { delivery_id, webhook_id = null, event_type = null, attempts = null, last_status = null } = event.payload;
  const id = typeof delivery_id === 'string' ? delivery_id : event.id;
  return { type: 'cloister.delivery.failed', data: { id, ...place(event), webhook_id, event_type, attempts, last_status } };
}

function place({ sessionId, turnId, seq }: LoggedEvent): JsonObject {
  return { session_id: sessionId, turn_id: turnId, seq };
}
