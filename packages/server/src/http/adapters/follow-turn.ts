import type { SessionEvent } from '@cloister/api';
import { PlatformError } from '../../base/errors.ts';
import { asJsonObject, type JsonObject } from '../../base/json.ts';
import type { TurnAddress } from '../../sessions/turns.ts';
import { toWireEvent } from '../../sessions/wire.ts';
import type { StoredEvent } from '../../store/store.ts';
import type { HttpDeps } from '../context.ts';

/** What comes of a turn, as clients that read one answer need it. */
export type TurnItem =
  /** A piece of a message, as it is written; put together, the pieces are the message. */
  | { readonly type: 'text'; readonly messageId: string; readonly text: string }
  /** An event of this turn; of an `agent.message` all pieces have come before. */
  | { readonly type: 'event'; readonly event: SessionEvent };

export interface FollowInput extends TurnAddress {
  /** The seq of the message that asked for the turn. */
  readonly after: number;
  readonly signal: AbortSignal;
}

const PAGE = 200;
/** What may wait for a reader before its pieces are left out; the log brings them whole. */
const MAX_WAITING = 1000;

/** Follows one turn to its end, also one that has ended. Ends early when the signal is aborted. Throws `session_not_found`. */
export async function* followTurn(deps: Pick<HttpDeps, 'store' | 'bus'>, input: FollowInput): AsyncGenerator<TurnItem> {
  const inbox = createInbox(deps, input);
  const pieces = createPieces(input.turnId);
  let seq = input.after;
  try {
    for (let isBehind = true; !input.signal.aborted; ) {
      while (isBehind) {
        const { tenantId, sessionId } = input;
        const page = await deps.store.events.listAfter({ tenantId, sessionId, after: seq, limit: PAGE });
        isBehind = page.length === PAGE;
        for (const event of page) {
          seq = event.seq;
          yield* pieces.ofEvent(event);
          if (isEnd(event, input.turnId)) return;
        }
      }
      const item = await inbox.next();
      if (item === undefined) return;
      if (item === 'overflow') {
        pieces.freeze();
        isBehind = true;
      } else if ('seq' in item) {
        const event = item as StoredEvent; // events have a seq, and previews have none
        if (event.type === 'session.deleted') throw new PlatformError('session_not_found', { detail: 'The session was deleted.' });
        if (event.seq <= seq) continue;
        isBehind = event.seq > seq + 1;
        if (isBehind) continue;
        seq = event.seq;
        yield* pieces.ofEvent(event);
        if (isEnd(event, input.turnId)) return;
      } else yield* pieces.ofPreview(item);
    }
  } finally {
    inbox.close();
  }
}

function isEnd(event: StoredEvent, turnId: string): boolean {
  return event.type === 'turn.ended' && event.turnId === turnId;
}

interface Inbox {
  /** Undefined once the signal is aborted. */
  next(): Promise<StoredEvent | JsonObject | 'overflow' | undefined>;
  close(): void;
}

function createInbox({ bus }: Pick<HttpDeps, 'bus'>, { signal, ...session }: FollowInput): Inbox {
  const waiting: (StoredEvent | JsonObject)[] = [];
  let hasOverflown = false;
  let wake: () => void = () => undefined;
  const add = (...items: readonly (StoredEvent | JsonObject)[]) => {
    if (waiting.length + items.length > MAX_WAITING) {
      hasOverflown = true;
      // Of a session that is gone there is no log to read.
      waiting.splice(0, Number.POSITIVE_INFINITY, ...items.filter((item) => item.type === 'session.deleted'));
    } else waiting.push(...items);
    wake();
  };
  const unsubscribe = bus.subscribe(session, { onEvents: (events) => add(...events), onPreview: (preview) => add(preview) });
  const onAbort = () => wake();
  signal.addEventListener('abort', onAbort);
  return {
    async next() {
      while (!signal.aborted) {
        if (hasOverflown) {
          hasOverflown = false;
          return 'overflow';
        }
        const item = waiting.shift();
        if (item !== undefined) return item;
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      return undefined;
    },
    close() {
      unsubscribe();
      signal.removeEventListener('abort', onAbort);
    },
  };
}

/** Puts previews and committed messages together, so that each text comes once. */
function createPieces(turnId: string) {
  const said = new Map<string, string>();
  /** Previews do not say whose they are; those that come while the turn runs are its own. */
  let isRunning = false;
  let isFrozen = false;

  return {
    freeze() {
      isFrozen = true;
    },
    *ofPreview(preview: JsonObject): Generator<TurnItem> {
      if (!isRunning) return;
      if (preview.type === 'event_start') {
        const { type, id } = asJsonObject(preview.event);
        isFrozen = false;
        if (type === 'agent.message' && typeof id === 'string') said.set(id, '');
      }
      if (preview.type !== 'event_delta' || isFrozen || typeof preview.event_id !== 'string') return;
      const before = said.get(preview.event_id);
      const { text } = asJsonObject(asJsonObject(preview.delta).content);
      if (before === undefined || typeof text !== 'string') return;
      said.set(preview.event_id, before + text);
      yield { type: 'text', messageId: preview.event_id, text };
    },
    *ofEvent(stored: StoredEvent): Generator<TurnItem> {
      if (stored.turnId !== turnId) return;
      if (stored.type !== 'user.message') isRunning = true;
      const event = toWireEvent(stored);
      if (event.type === 'agent.message') {
        isFrozen = false;
        const text = event.content.map((block) => block.text).join('');
        const before = said.get(event.id) ?? '';
        const rest = text.startsWith(before) ? text.slice(before.length) : '';
        said.delete(event.id);
        if (rest !== '') yield { type: 'text', messageId: event.id, text: rest };
      }
      yield { type: 'event', event };
    },
  };
}
