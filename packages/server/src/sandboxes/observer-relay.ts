import type { McpRefusal, ModelCallEnd, ModelCallObserver } from '../egress/gateway.ts';

/** Passes a sandbox's model calls on to whoever runs its current turn. */
export function createObserverRelay(): ModelCallObserver & { use(observer: ModelCallObserver | undefined): void } {
  let current: ModelCallObserver | undefined;
  // A call's end goes where its start went, even when the next turn has begun in between.
  const owners = new Map<string, ModelCallObserver | undefined>();
  // Agents connect to their servers before their first turn; it is told then.
  const untold: McpRefusal[] = [];
  return {
    get turn() {
      return current?.turn;
    },
    use(observer) {
      current = observer;
      if (observer === undefined) return;
      for (const refusal of untold.splice(0)) observer.onMcpRefusal?.(refusal);
    },
    onMcpRefusal(refusal) {
      if (current !== undefined) current.onMcpRefusal?.(refusal);
      else if (!untold.some(({ server }) => server === refusal.server)) untold.push(refusal);
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
