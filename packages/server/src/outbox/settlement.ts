import { newId } from '../base/ids.ts';
import type { DeliveryRow, NewEvent, SettleInput, TargetHealth } from '../store/store.ts';
import type { Attempt } from './deliver.ts';
import { waitAfter } from './retry-schedule.ts';

const HEALTH: Readonly<Record<Exclude<Attempt['outcome'], 'rejected'>, TargetHealth>> = {
  sent: 'good',
  refused: 'bad',
  unknown: 'bad',
  returned: 'none',
};

/** Decides what follows from an attempt: the delivery's next state, its next time, and what it says about the target. */
export function settlementOf(delivery: DeliveryRow, attempt: Attempt, now: number): SettleInput {
  const token = { id: delivery.id, attempt: delivery.attempt, now };
  if (attempt.outcome === 'rejected') return { ...token, ...failed(delivery, attempt, now), health: attempt.isGone ? 'gone' : 'none' };
  const health = HEALTH[attempt.outcome];
  if (attempt.outcome === 'sent') return { ...token, health, result: { kind: 'sent', status: attempt.status } };
  if (attempt.outcome === 'returned') return { ...token, health, result: { kind: 'returned' } };
  const status = attempt.outcome === 'refused' ? attempt.status : null;
  const retryAfterMs = attempt.outcome === 'refused' ? attempt.retryAfterMs : undefined;
  const afterMs = waitAfter(delivery.failures + 1, { id: delivery.id, retryAfterMs });
  if (afterMs === undefined) return { ...token, ...failed(delivery, { status, error: attempt.error }, now), health };
  const state = attempt.outcome === 'unknown' ? 'unknown' : 'pending';
  return { ...token, health, result: { kind: 'retry', state, afterMs, status, error: attempt.error } };
}

function failed(
  delivery: DeliveryRow,
  why: { readonly status: number | null; readonly error: string },
  now: number,
): Pick<SettleInput, 'result'> {
  const { status, error } = why;
  return { result: { kind: 'failed', status, error, report: deliveryFailed(delivery, why, now) } };
}

/** What the session's log says about a delivery that never arrived. */
function deliveryFailed(delivery: DeliveryRow, why: { readonly status: number | null; readonly error: string }, now: number): NewEvent {
  const payload = {
    webhook_id: delivery.targetId,
    delivery_id: delivery.id,
    message_id: delivery.messageId,
    event_type: delivery.eventType,
    attempts: delivery.attempt,
    last_status: why.status,
    last_error: why.error,
  };
  return { id: newId('event'), type: 'delivery.failed', payload, processedAt: now };
}
