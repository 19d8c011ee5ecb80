// Mistakes that somebody could make, put around a store that works: the simulation has to see each of them.
import { PlatformError } from '../../packages/server/src/base/errors.ts';
import type { AcceptInput, RunToken, Store, StoredEvent, TurnStore } from '../../packages/server/src/store/store.ts';
import type { Defect } from './run.ts';

const changingTurns =
  (change: (turns: TurnStore) => Partial<TurnStore>): Defect =>
  (store) => ({ ...store, turns: { ...store.turns, ...change(store.turns) } });

/** Writes go through under whatever attempt is the newest. */
const noFencing: Defect = (store) => {
  const attempts = new Map<string, number>();
  const newest = <T extends RunToken>(input: T): T => ({ ...input, attempt: attempts.get(input.turnId) ?? input.attempt });
  const { turns } = store;
  const noted = async (leasing: ReturnType<TurnStore['lease']>) => {
    const leased = await leasing;
    if (leased !== undefined) attempts.set(leased.turn.id, leased.turn.attempt);
    return leased;
  };
  return {
    ...store,
    turns: {
      ...turns,
      lease: (input) => noted(turns.lease(input)),
      takeOver: (input) => noted(turns.takeOver(input)),
      heartbeat: (input) => turns.heartbeat(newest(input)),
      append: (input) => turns.append(newest(input)),
      finish: (input) => turns.finish(newest(input)),
      requeue: (input) => turns.requeue(newest(input)),
    },
  };
};

/** Answers at once, and writes a moment later, if the server still is. */
const ackBeforeCommit: Defect = (store, { scheduler, random }) => ({
  ...store,
  turns: {
    ...store.turns,
    async accept(input) {
      const isLost = random.isLucky(0.05);
      if (!isLost) scheduler.schedule(50, () => store.turns.accept(input).catch(() => undefined));
      const events = input.events.map((event, index) => acknowledged(event, input, index));
      return { events, turnIds: events.flatMap(({ turnId }) => turnId ?? []), isReplay: false };
    },
  },
});

function acknowledged(event: AcceptInput['events'][number], { tenantId, sessionId, now }: AcceptInput, index: number): StoredEvent {
  const { effect, ...rest } = event;
  return { ...rest, tenantId, sessionId, seq: index + 1, turnId: effect.kind === 'message' ? effect.turnId : null, createdAt: now };
}

export const DEFECTS: Readonly<Record<string, Defect>> = {
  no_fencing: noFencing,
  lease_never_renewed: changingTurns(() => ({ heartbeat: async () => ({ cancelRequested: false }) })),
  ack_before_commit: ackBeforeCommit,
  idempotency_forgotten: changingTurns((turns) => ({ accept: ({ idempotency: _forgotten, ...input }) => turns.accept(input) })),
  retry_not_counted: changingTurns((turns) => ({ requeue: ({ retryInMs: _forgotten, ...input }) => turns.requeue(input) })),
  caps_ignored: changingTurns((turns) => ({ lease: ({ caps: _ignored, ...input }) => turns.lease(input) })),
  tool_log_ignored: (store) => ({
    ...store,
    events: {
      ...store.events,
      list: (input) => store.events.list(input.types?.includes('agent.tool_use') === true ? { ...input, turnId: 'none' } : input),
    },
  }),
  delivery_forgotten: (store) => ({
    ...store,
    outbox: {
      ...store.outbox,
      settle: (input) => store.outbox.settle(input.result.kind === 'retry' ? { ...input, result: { kind: 'sent', status: null } } : input),
    },
  }),
  stop_not_seen: changingTurns((turns) => ({
    finish: (input) => (input.outcome === 'cancelled' ? Promise.reject(new PlatformError('lease_lost')) : turns.finish(input)),
  })),
} satisfies Record<string, (store: Store, tools: Parameters<Defect>[1]) => Store>;
