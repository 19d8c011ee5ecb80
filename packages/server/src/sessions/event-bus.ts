import { type Clock, systemClock } from '../base/clock.ts';
import { type Logger, silentLogger } from '../base/log.ts';
import type { JsonObject, Store } from '../store/store.ts';
import { FollowedSession, type SessionAddress, type Subscriber } from './followed-session.ts';

export type { Subscriber } from './followed-session.ts';

/** Carries what any server commits, and previews of what will be, to those who follow a session on this one. */
export interface EventBus {
  /** Whether the session is the tenant's is checked by whoever subscribes. */
  subscribe(session: SessionAddress, subscriber: Subscriber): () => void;
  publishPreview(sessionId: string, preview: JsonObject): void;
  close(): void;
}

/** How soon an event is seen whose notice got lost on its way from another server. */
const POLL_MS = 5000;
const SESSIONS_PER_POLL = 500;

export function createEventBus(
  store: Store,
  { clock = systemClock, log = silentLogger }: { readonly clock?: Clock; readonly log?: Logger } = {},
): EventBus {
  const bySession = new Map<string, FollowedSession>();
  let isPolling = false;

  async function poll(): Promise<void> {
    if (isPolling) return;
    isPolling = true;
    try {
      const all = [...bySession.entries()];
      for (let from = 0; from < all.length; from += SESSIONS_PER_POLL) {
        const some = all.slice(from, from + SESSIONS_PER_POLL);
        const heads = await store.events.heads({ sessionIds: some.map(([id]) => id) });
        for (const [id, followed] of some) await followed.compare(heads.get(id));
      }
    } catch (error) {
      log.warn({ err: error }, 'the log could not be polled; the next poll tries again');
    } finally {
      isPolling = false;
    }
  }

  function showPreview(sessionId: string, preview: JsonObject): void {
    bySession.get(sessionId)?.showPreview(preview);
  }

  const stops = [
    store.events.onCommit((notices) => {
      for (const notice of notices) bySession.get(notice.sessionId)?.take(notice);
    }),
    store.events.onPreview(({ sessionId, preview }) => showPreview(sessionId, preview)),
    store.events.isShared ? clock.every(POLL_MS, () => void poll()) : () => undefined,
  ];

  return {
    subscribe(address, subscriber) {
      const { sessionId } = address;
      const followed = bySession.get(sessionId) ?? new FollowedSession({ store, clock, log }, address);
      bySession.set(sessionId, followed);
      followed.add(subscriber);
      return () => {
        followed.remove(subscriber);
        if (!followed.isFollowed() && bySession.get(sessionId) === followed) bySession.delete(sessionId);
      };
    },
    publishPreview(sessionId, preview) {
      showPreview(sessionId, preview);
      store.events.publishPreview({ sessionId, preview });
    },
    close() {
      for (const stop of stops) stop();
    },
  };
}
