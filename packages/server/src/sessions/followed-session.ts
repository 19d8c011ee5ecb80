import type { Clock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { CommitNotice, JsonObject, Store, StoredEvent } from '../store/store.ts';

export interface Subscriber {
  /** Events after their commit, in order of seq. */
  onEvents(events: readonly StoredEvent[]): void;
  /** A preview of text that is being written; lost if not seen. */
  onPreview(preview: JsonObject): void;
}

export interface SessionAddress {
  readonly tenantId: string;
  readonly sessionId: string;
}

interface FollowedDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

const RETRY_MS = 1000;
const PAGE = 100;

/**
 * One session and those who follow it here. A notice of this server brings its events along; those of others,
 * and those that overtake each other, are read from the log. So each event is seen once and in order.
 */
export class FollowedSession {
  readonly address: SessionAddress;
  /** With the seq of the last event each was told. */
  private readonly told = new Map<Subscriber, number>();
  private readonly deps: FollowedDeps;
  /** All up to this seq has been passed on; undefined before anything was heard of the session. */
  private cursor: number | undefined;
  /** The greatest seq that was heard of. */
  private known = 0;
  private isFilling = false;
  /** Somebody has come since the last look, who may have missed what came in that moment. */
  private hasNewcomer = false;

  constructor(deps: FollowedDeps, { tenantId, sessionId }: SessionAddress) {
    this.deps = deps;
    this.address = { tenantId, sessionId };
  }

  add(subscriber: Subscriber): void {
    this.told.set(subscriber, 0);
    this.hasNewcomer = true;
  }

  remove(subscriber: Subscriber): void {
    this.told.delete(subscriber);
  }

  isFollowed(): boolean {
    return this.told.size > 0;
  }

  showPreview(preview: JsonObject): void {
    for (const subscriber of this.told.keys()) subscriber.onPreview(preview);
  }

  take({ fromSeq, toSeq, events, types }: CommitNotice): void {
    this.cursor ??= fromSeq - 1;
    this.known = Math.max(this.known, toSeq);
    const isNext = !this.isFilling && fromSeq <= this.cursor + 1;
    // Of a session that is gone there is no log to read.
    if (events !== undefined && (isNext || types.includes('session.deleted'))) this.pass(events);
    if (this.cursor < this.known) void this.fill();
  }

  /** Looks whether a notice got lost. `head` is the last seq there is, undefined when the session is gone. */
  async compare(head: number | undefined): Promise<void> {
    if (!this.isFollowed()) return;
    if (head === undefined) return this.pass([this.removal()]);
    if (this.hasNewcomer) await this.showTail(head);
    this.cursor ??= head;
    this.known = Math.max(this.known, head);
    if (this.cursor < this.known) await this.fill();
  }

  private async showTail(head: number): Promise<void> {
    this.hasNewcomer = false;
    const tail = await this.deps.store.events.listAfter({ ...this.address, after: Math.max(0, head - PAGE), limit: PAGE });
    this.cursor ??= tail.at(-1)?.seq ?? head;
    this.tell(tail);
  }

  /** Reads what was heard of and is not passed on yet. */
  private async fill(): Promise<void> {
    if (this.isFilling) return;
    this.isFilling = true;
    try {
      while (this.isFollowed() && this.cursor !== undefined && this.cursor < this.known) {
        const page = await this.deps.store.events.listAfter({ ...this.address, after: this.cursor, limit: PAGE });
        // Removed meanwhile: there is nothing more to come.
        if (page.length === 0) this.known = this.cursor;
        this.pass(page);
      }
    } catch (error) {
      this.deps.log.warn({ err: error, session: this.address.sessionId }, 'events could not be read for their subscribers; trying again');
      this.deps.clock.after(RETRY_MS, () => void this.fill());
    } finally {
      this.isFilling = false;
    }
  }

  /** Passes on what is new of them. */
  private pass(events: readonly StoredEvent[]): void {
    const fresh = events.filter(({ seq }) => seq > (this.cursor ?? 0));
    const last = fresh.at(-1);
    if (last === undefined) return;
    this.cursor = last.seq;
    this.known = Math.max(this.known, last.seq);
    this.tell(fresh);
  }

  private tell(events: readonly StoredEvent[]): void {
    for (const [subscriber, seq] of this.told) {
      const fresh = events.filter((event) => event.seq > seq);
      const last = fresh.at(-1);
      if (last === undefined) continue;
      this.told.set(subscriber, last.seq);
      subscriber.onEvents(fresh);
    }
  }

  /** Says that the session is gone when the notice of that got lost. */
  private removal(): StoredEvent {
    const now = this.deps.clock.now();
    const seq = Math.max(this.known, this.cursor ?? 0) + 1;
    return {
      id: newId('event'),
      ...this.address,
      seq,
      turnId: null,
      type: 'session.deleted',
      payload: {},
      createdAt: now,
      processedAt: now,
    };
  }
}
