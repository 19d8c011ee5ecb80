import type { JsonObject, Store, StoredEvent } from '../store/store.ts';

export interface Subscriber {
  /** Events after their commit, in order of seq. */
  onEvents(events: readonly StoredEvent[]): void;
  /** A preview of text that is being written; lost if not seen. */
  onPreview(preview: JsonObject): void;
}

/** Carries what is committed, and previews of what will be, to those who follow a session in this process. */
export interface EventBus {
  /** The tenant is checked by whoever subscribes; a session id is enough here. */
  subscribe(sessionId: string, subscriber: Subscriber): () => void;
  publishPreview(sessionId: string, preview: JsonObject): void;
  close(): void;
}

export function createEventBus(store: Store): EventBus {
  const bySession = new Map<string, Set<Subscriber>>();
  const stop = store.events.onCommit((events) => {
    for (const [sessionId, own] of groupBySession(events))
      for (const subscriber of bySession.get(sessionId) ?? []) subscriber.onEvents(own);
  });
  return {
    subscribe(sessionId, subscriber) {
      const subscribers = bySession.get(sessionId) ?? new Set();
      bySession.set(sessionId, subscribers.add(subscriber));
      return () => {
        subscribers.delete(subscriber);
        if (subscribers.size === 0 && bySession.get(sessionId) === subscribers) bySession.delete(sessionId);
      };
    },
    publishPreview(sessionId, preview) {
      for (const subscriber of bySession.get(sessionId) ?? []) subscriber.onPreview(preview);
    },
    close: stop,
  };
}

function groupBySession(events: readonly StoredEvent[]): Map<string, StoredEvent[]> {
  const groups = new Map<string, StoredEvent[]>();
  for (const event of events) {
    const group = groups.get(event.sessionId);
    if (group === undefined) groups.set(event.sessionId, [event]);
    else group.push(event);
  }
  return groups;
}
