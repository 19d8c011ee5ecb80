import { parseTraceparent, type TraceContext, type Tracer } from '../core/tracing.ts';
import type { DeliveryRow, Store } from '../store/store.ts';
import type { Deliver, DeliverByKind } from './deliver.ts';

/** Deliveries that tell of a turn belong to its trace. The receiver is told nothing of it. */
export function traceDeliveries(ways: DeliverByKind, store: Pick<Store, 'turns'>, tracer: Tracer | undefined): DeliverByKind {
  if (tracer === undefined) return ways;
  const traced =
    (deliver: Deliver): Deliver =>
    async (delivery, signal) => {
      const parent = await traceOf(delivery, store);
      if (parent === undefined) return deliver(delivery, signal);
      const attributes = {
        'cloister.delivery.id': delivery.id,
        'cloister.delivery.attempt': delivery.attempt,
        'cloister.event.type': delivery.eventType,
      };
      const span = tracer.begin({ name: `deliver ${delivery.kind}`, kind: 'producer', parent, attributes });
      try {
        const attempt = await deliver(delivery, signal);
        span.set({ 'cloister.delivery.outcome': attempt.outcome });
        span.end({ failure: attempt.outcome === 'sent' ? undefined : attempt.outcome });
        return attempt;
      } finally {
        span.end({ failure: 'bug' });
      }
    };
  return { webhook: traced(ways.webhook), callback: traced(ways.callback) };
}

/** The trace is only told of: without it the delivery goes out all the same. */
async function traceOf({ tenantId, data, eventType }: DeliveryRow, store: Pick<Store, 'turns'>): Promise<TraceContext | undefined> {
  const id = typeof data.turn_id === 'string' ? data.turn_id : eventType === 'cloister.turn.ended' ? data.id : undefined;
  if (typeof id !== 'string') return undefined;
  const turn = await store.turns.find({ tenantId, id });
  return turn?.traceparent === undefined || turn.traceparent === null ? undefined : parseTraceparent(turn.traceparent);
}
