import type { Turn } from '@cloister/api';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { isJsonObject, type JsonObject } from '../../base/json.ts';
import type { EventBus } from '../../sessions/event-bus.ts';
import { toTurn } from '../../sessions/wire.ts';
import { isTerminal, type Store, type StoredEvent } from '../../store/store.ts';

/** What becomes of one turn, piece by piece. Each word comes once: as a preview, or with the event it belongs to. */
export type TurnPiece =
  | { readonly type: 'text'; readonly text: string; readonly messageId: string }
  | { readonly type: 'tool'; readonly id: string; readonly name: string; readonly input: JsonObject }
  /** Nothing goes on before a person has answered for these tool calls. */
  | { readonly type: 'asks'; readonly toolUseIds: readonly string[] }
  /** The last piece. */
  | { readonly type: 'ended'; readonly turn: Turn };

export interface FollowDeps {
  readonly store: Store;
  readonly bus: EventBus;
  readonly clock: Clock;
}

/** One reader of a session. It listens from when it is made, so that nothing of a turn sent afterwards is missed. */
export interface TurnFollower {
  /** All pieces of the turn, those of before included. Ends with the turn, or at once when the signal is aborted. */
  pieces(turnId: string, signal: AbortSignal): AsyncGenerator<TurnPiece, void>;
  /** May be called twice; `pieces` does it at its end. */
  close(): void;
}

const PAGE = 200;
/** Previews that nobody has read yet; what is dropped comes with its event. */
const MAX_PREVIEWS = 2000;
const UNDER_WAY = ['queued', 'running', 'waiting_approval'] as const;

export function followTurns(deps: FollowDeps, session: { readonly tenantId: string; readonly sessionId: string }): TurnFollower {
  const { store, bus } = deps;
  let previews: JsonObject[] = [];
  let hasNews = true;
  let isGone = false;
  let onNews: () => void = () => undefined;
  const unsubscribe = bus.subscribe(session, {
    onEvents(events) {
      hasNews = true;
      isGone ||= events.some(({ type }) => type === 'session.deleted');
      onNews();
    },
    onPreview(preview) {
      if (previews.length < MAX_PREVIEWS) previews.push(preview);
      onNews();
    },
  });

  function news(signal: AbortSignal): Promise<void> {
    if (hasNews || previews.length > 0 || signal.aborted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    onNews = resolve;
    return promise;
  }

  /** The events after a seq, in pages. */
  async function* eventsAfter(after: number): AsyncGenerator<StoredEvent, void> {
    let cursor = after;
    for (;;) {
      const page = await store.events.listAfter({ ...session, after: cursor, limit: PAGE });
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      cursor = last.seq;
    }
  }

  async function* read(turnId: string, signal: AbortSignal): AsyncGenerator<TurnPiece, void> {
    const row = await requireTurn(store, session.tenantId, turnId);
    const message = await store.events.find({ ...session, id: row.eventId });
    let cursor = (message?.seq ?? 1) - 1;
    const ahead = await turnsAhead(store, session, row.createdAt, turnId);
    const text = createTextReader();
    while (!signal.aborted) {
      if (isGone) throw new PlatformError('session_not_found', { detail: 'The session was deleted.' });
      if (hasNews) {
        hasNews = false;
        for await (const event of eventsAfter(cursor)) {
          cursor = event.seq;
          if (event.type === 'turn.ended' && event.turnId !== null) ahead.delete(event.turnId);
          if (event.turnId !== turnId) continue;
          yield* text.ofEvent(event);
          if (event.type === 'turn.ended') return yield { type: 'ended', turn: toTurn(await requireTurn(store, session.tenantId, turnId)) };
        }
        continue;
      }
      const fresh = previews;
      previews = [];
      // As long as another turn is before this one, what is being said is an answer to that.
      if (ahead.size === 0) for (const preview of fresh) yield* text.ofPreview(preview);
      await news(signal);
    }
  }

  return {
    async *pieces(turnId, signal) {
      try {
        signal.addEventListener('abort', () => onNews(), { once: true });
        yield* read(turnId, signal);
      } finally {
        unsubscribe();
      }
    },
    close: unsubscribe,
  };
}

async function requireTurn(store: Store, tenantId: string, id: string) {
  const turn = await store.turns.find({ tenantId, id });
  if (turn === undefined) throw new PlatformError('session_not_found', { detail: 'The session was deleted.' });
  return turn;
}

/** Turns of the session that come before this one and have not ended. */
async function turnsAhead(
  store: Store,
  session: { readonly tenantId: string; readonly sessionId: string },
  createdAt: number,
  turnId: string,
): Promise<Set<string>> {
  const page = await store.turns.list({ ...session, states: UNDER_WAY, limit: 100, order: 'asc' });
  const before = page.data.filter((turn) => turn.id !== turnId && !isTerminal(turn.state));
  return new Set(before.filter((turn) => turn.createdAt <= createdAt && turn.id < turnId).map(({ id }) => id));
}

interface TextReader {
  ofEvent(event: StoredEvent): Generator<TurnPiece, void>;
  ofPreview(preview: JsonObject): Generator<TurnPiece, void>;
}

/** Gives each message once, whether its previews came in time or not. */
function createTextReader(): TextReader {
  const shown = new Map<string, string>();
  const whole = new Set<string>();
  return {
    *ofEvent({ id, type, payload }) {
      if (type === 'agent.message') {
        const full = textOf(payload);
        const before = shown.get(id) ?? '';
        whole.add(id);
        shown.delete(id);
        const rest = full.startsWith(before) ? full.slice(before.length) : '';
        if (rest !== '') yield { type: 'text', text: rest, messageId: id };
      }
      if (type === 'agent.tool_use')
        yield {
          type: 'tool',
          id,
          name: typeof payload.name === 'string' ? payload.name : '',
          input: isJsonObject(payload.input) ? payload.input : {},
        };
      if (type === 'session.status_idle' && isJsonObject(payload.stop_reason) && payload.stop_reason.type === 'requires_action') {
        const asked = payload.stop_reason.event_ids;
        yield { type: 'asks', toolUseIds: Array.isArray(asked) ? asked.filter((one) => typeof one === 'string') : [] };
      }
    },
    *ofPreview({ type, event_id: id, delta }) {
      if (type !== 'event_delta' || typeof id !== 'string' || whole.has(id)) return;
      const content = isJsonObject(delta) && isJsonObject(delta.content) ? delta.content : {};
      if (typeof content.text !== 'string' || content.text === '') return;
      shown.set(id, (shown.get(id) ?? '') + content.text);
      yield { type: 'text', text: content.text, messageId: id };
    },
  };
}

/** The words of a message, whoever said them. */
export function textOf(payload: JsonObject): string {
  const blocks = Array.isArray(payload.content) ? payload.content : [];
  return blocks.map((block) => (isJsonObject(block) && typeof block.text === 'string' ? block.text : '')).join('');
}
