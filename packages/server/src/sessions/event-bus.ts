import { type Clock, systemClock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import { type Logger, silentLogger } from '../base/log.ts';
import type { CommitNotice, JsonObject, Store, StoredEvent } from '../store/store.ts';

export interface Subscriber {
  /** Events after their commit, in order of seq. */
  onEvents(events: readonly StoredEvent[]): void;
  /** A preview of text that is being written; lost if not seen. */
  onPreview(preview: JsonObject): void;
}

export interface FollowedSession {
  readonly tenantId: string;
  readonly sessionId: string;
}

/** Carries what any server commits, and previews of what will be, to those who follow a session on this one. */
export interface EventBus {
  /** Whether the session is the tenant's is checked by whoever subscribes. */
  subscribe(session: FollowedSession, subscriber: Subscriber): () => void;
  publishPreview(sessionId: string, preview: JsonObject): void;
  close(): void;
}

/** How soon an event is seen whose notice got lost on its way from another server. */
const POLL_MS = 5000;
const SESSIONS_PER_POLL = 500;
const RETRY_MS = 1000;
const PAGE = 100;

interface Followed extends FollowedSession {
  readonly subscribers: Set<Subscriber>;
  /** All up to this seq has been passed on; undefined before anything was heard of the session. */
  cursor: number | undefined;
  /** The greatest seq that was heard of. */
  known: number;
  isFilling: boolean;
  /** Somebody has come since the last poll, who may have missed what came in that moment. */
  hasNewcomer: boolean;
}

interface BusDeps {
  readonly clock?: Clock;
  readonly log?: Logger;
}

/**
 * A notice of this server brings its events along; those of others, and those that overtake each other, are
 * read from the log. So subscribers see each event once and in order, whoever committed it.
 */
export function createEventBus(store: Store, { clock = systemClock, log = silentLogger }: BusDeps = {}): EventBus {
  const bySession = new Map<string, Followed>();
  let isPolling = false;

  async function fill(followed: Followed): Promise<void> {
    if (followed.isFilling) return;
    followed.isFilling = true;
    try {
      while (isFollowed(followed) && followed.cursor !== undefined && followed.cursor < followed.known) {
        const { tenantId, sessionId, cursor } = followed;
        const page = await store.events.listAfter({ tenantId, sessionId, after: cursor, limit: PAGE });
        // Removed meanwhile: there is nothing more to come.
        if (page.length === 0) followed.known = followed.cursor;
        pass(followed, page);
      }
    } catch (error) {
      log.warn({ err: error, session: followed.sessionId }, 'events could not be read for their subscribers; trying again');
      clock.after(RETRY_MS, () => void fill(followed));
    } finally {
      followed.isFilling = false;
    }
  }

  const isFollowed = (followed: Followed): boolean => bySession.get(followed.sessionId) === followed;

  function take(notice: CommitNotice): void {
    const followed = bySession.get(notice.sessionId);
    if (followed === undefined) return;
    const { fromSeq, toSeq, events } = notice;
    followed.cursor ??= fromSeq - 1;
    followed.known = Math.max(followed.known, toSeq);
    const isWhole = events !== undefined && !followed.isFilling && fromSeq <= followed.cursor + 1;
    // Of a session that is gone there is no log to read.
    if (isWhole || (events !== undefined && notice.types.includes('session.deleted'))) pass(followed, events);
    if (followed.cursor < followed.known) void fill(followed);
  }

  async function poll(): Promise<void> {
    if (isPolling) return;
    isPolling = true;
    try {
      const all = [...bySession.values()];
      for (let from = 0; from < all.length; from += SESSIONS_PER_POLL) {
        const some = all.slice(from, from + SESSIONS_PER_POLL);
        const heads = await store.events.heads({ sessionIds: some.map(({ sessionId }) => sessionId) });
        for (const followed of some) await compare(followed, heads.get(followed.sessionId));
      }
    } catch (error) {
      log.warn({ err: error }, 'the log could not be polled; the next poll tries again');
    } finally {
      isPolling = false;
    }
  }

  async function compare(followed: Followed, head: number | undefined): Promise<void> {
    if (!isFollowed(followed)) return;
    if (head === undefined) return pass(followed, [removalOf(followed, clock.now())]);
    if (followed.hasNewcomer) {
      followed.hasNewcomer = false;
      const { tenantId, sessionId } = followed;
      const tail = await store.events.listAfter({ tenantId, sessionId, after: Math.max(0, head - PAGE), limit: PAGE });
      followed.cursor ??= tail.at(-1)?.seq ?? head;
      // Those who have seen them know them by their seq.
      if (isFollowed(followed) && tail.length > 0) tell(followed, tail);
    }
    followed.cursor ??= head;
    followed.known = Math.max(followed.known, head);
    if (followed.cursor < followed.known) await fill(followed);
  }

  const stops = [
    store.events.onCommit((notices) => notices.forEach(take)),
    store.events.onPreview(({ sessionId, preview }) => showPreview(sessionId, preview)),
    store.events.isShared ? clock.every(POLL_MS, () => void poll()) : () => undefined,
  ];

  function showPreview(sessionId: string, preview: JsonObject): void {
    for (const subscriber of bySession.get(sessionId)?.subscribers ?? []) subscriber.onPreview(preview);
  }

  return {
    subscribe({ tenantId, sessionId }, subscriber) {
      const followed = bySession.get(sessionId) ?? newFollowed({ tenantId, sessionId });
      bySession.set(sessionId, followed);
      followed.subscribers.add(subscriber);
      followed.hasNewcomer = true;
      return () => {
        followed.subscribers.delete(subscriber);
        if (followed.subscribers.size === 0 && isFollowed(followed)) bySession.delete(sessionId);
      };
    },
    publishPreview(sessionId, preview) {
      showPreview(sessionId, preview);
      store.events.publishPreview({ sessionId, preview });
    },
    close() {
      for (const stop of stops) stop();
      bySession.clear();
    },
  };
}

function newFollowed(session: FollowedSession): Followed {
  return { ...session, subscribers: new Set(), cursor: undefined, known: 0, isFilling: false, hasNewcomer: true };
}

/** Passes on what is new of them. */
function pass(followed: Followed, events: readonly StoredEvent[]): void {
  const fresh = events.filter(({ seq }) => seq > (followed.cursor ?? 0));
  const last = fresh.at(-1);
  if (last === undefined) return;
  followed.cursor = last.seq;
  followed.known = Math.max(followed.known, last.seq);
  tell(followed, fresh);
}

function tell({ subscribers }: Followed, events: readonly StoredEvent[]): void {
  for (const subscriber of subscribers) subscriber.onEvents(events);
}

/** Says that a session is gone when the notice of that got lost. */
function removalOf({ tenantId, sessionId, known, cursor }: Followed, now: number): StoredEvent {
  const seq = Math.max(known, cursor ?? 0) + 1;
  return {
    id: newId('event'),
    tenantId,
    sessionId,
    seq,
    turnId: null,
    type: 'session.deleted',
    payload: {},
    createdAt: now,
    processedAt: now,
  };
}
