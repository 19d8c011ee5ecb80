// Defects that are put around a store that works. Each is a mistake that somebody could make, and the checker has to see it.
import type { AcceptInput, AcceptResult, Store, StoredEvent } from '../../../packages/server/src/store/store.ts';

export type WrapStore = (store: Store) => Store;

const ACK_DELAY_MS = 150;
/** Which events are lost on their way to the streams, and which deliveries are never sent: one of so many. */
const LOST_EVENT = 11;
const LOST_DELIVERY = 4;

/** Answers at once, and writes a moment later. `onClose` says what becomes of what is not yet written. */
function acknowledgingEarly(onClose: 'wait' | 'drop'): WrapStore {
  return (store) => {
    const waiting = new Set<NodeJS.Timeout>();
    const accept = (input: AcceptInput): Promise<AcceptResult> => {
      const timer = setTimeout(() => {
        waiting.delete(timer);
        // Whoever was answered already cannot be told.
        store.turns.accept(input).catch(() => undefined);
      }, ACK_DELAY_MS);
      waiting.add(timer);
      const { tenantId, sessionId, now } = input;
      const events = input.events.map(
        (event): StoredEvent => ({ ...event, tenantId, sessionId, seq: 1, turnId: turnOf(event), createdAt: now }),
      );
      return Promise.resolve({ events, turnIds: events.flatMap(({ turnId }) => turnId ?? []), isReplay: false });
    };
    const close = async (): Promise<void> => {
      if (onClose === 'drop') for (const timer of waiting) clearTimeout(timer);
      while (waiting.size > 0 && onClose === 'wait') await new Promise((resolve) => setTimeout(resolve, ACK_DELAY_MS));
      await store.close();
    };
    return { ...store, close, turns: { ...store.turns, accept } };
  };
}

function turnOf({ effect }: AcceptInput['events'][number]): string | null {
  return effect.kind === 'message' ? effect.turnId : null;
}

const changingAccept =
  (change: (input: AcceptInput) => AcceptInput): WrapStore =>
  (store) => ({ ...store, turns: { ...store.turns, accept: (input) => store.turns.accept(change(input)) } });

const isKept = ({ seq }: StoredEvent): boolean => seq % LOST_EVENT !== 0;

export const STORE_DEFECTS = {
  ack_before_commit: acknowledgingEarly('wait'),
  drop_on_shutdown: acknowledgingEarly('drop'),
  idempotency_forgotten: changingAccept(({ idempotency: _forgotten, ...input }) => input),
  queue_unbounded: changingAccept((input) => ({ ...input, maxQueuedPerSession: Number.MAX_SAFE_INTEGER })),

  lease_never_renewed: (store) => ({
    ...store,
    turns: { ...store.turns, heartbeat: () => Promise.resolve({ cancelRequested: false }) },
  }),

  outcome_twice: (store) => ({
    ...store,
    turns: {
      ...store.turns,
      finish: (input) =>
        store.turns.finish({ ...input, events: input.events.flatMap((event) => [event, { ...event, id: `${event.id}again` }]) }),
    },
  }),

  /** Recovery looks for the tools that ran, and finds none. */
  tool_log_ignored: (store) => ({
    ...store,
    events: {
      ...store.events,
      list: async (input) => {
        const page = await store.events.list(input);
        return input.types?.includes('agent.tool_use') === true ? { ...page, data: [] } : page;
      },
    },
  }),

  event_lost_on_fanout: (store) => ({
    ...store,
    events: {
      ...store.events,
      onCommit: (listener) =>
        store.events.onCommit((notices) =>
          listener(notices.map((notice) => (notice.events === undefined ? notice : { ...notice, events: notice.events.filter(isKept) }))),
        ),
      listAfter: async (input) => (await store.events.listAfter(input)).filter(isKept),
    },
  }),

  /** Deliveries are handed out without a lease, so that several workers have the same one. */
  double_outbox_writer: (store) => ({
    ...store,
    outbox: { ...store.outbox, lease: (input) => store.outbox.lease({ ...input, leaseMs: 0 }) },
  }),

  delivery_forgotten: (store) => {
    let count = 0;
    return {
      ...store,
      outbox: {
        ...store.outbox,
        async lease(input) {
          const leased = await store.outbox.lease(input);
          const forgotten = leased.filter(() => count++ % LOST_DELIVERY === 0);
          for (const { id, attempt } of forgotten) {
            await store.outbox.settle({ id, attempt, result: { kind: 'sent', status: 200 }, health: 'good', now: input.now });
          }
          return leased.filter((one) => !forgotten.includes(one));
        },
      },
    };
  },
} as const satisfies Readonly<Record<string, WrapStore>>;
