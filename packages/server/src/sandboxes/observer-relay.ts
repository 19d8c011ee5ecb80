import type { ModelCallEnd, ModelCallObserver } from '../egress/gateway.ts';

/** Passes a sandbox's model calls on to whoever runs its current turn. */
export function createObserverRelay(): ModelCallObserver & { use(observer: ModelCallObserver | undefined): void } {
  let current: ModelCallObserver | undefined;
  // A call's end goes where its start went, even when the next turn has begun in between.
  const owners = new Map<string, ModelCallObserver | undefined>();
  return {
    get turn() {
      return current?.turn;
    },
    use(observer) {
      current = observer;
    },
    onStart(call) {
      owners.set(call.callId, current);
      current?.onStart(call);
    },
    onEnd(call: ModelCallEnd) {
      const owner = owners.get(call.callId);
      owners.delete(call.callId);
      owner?.onEnd(call);
    },
  };
}
