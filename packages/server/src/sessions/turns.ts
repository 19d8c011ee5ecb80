import { type EventSendResponse, eventParamSchema, type Turn } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { PlatformError } from '../base/errors.ts';
import type { Page, PageInput, Store, TurnRow, TurnState } from '../store/store.ts';
import type { SendEvents } from './send-events.ts';
import { requireSession } from './sessions.ts';
import { requireSupported } from './supported-events.ts';
import { toTurn } from './wire.ts';

/** Use cases of turns: what became of each message, and what can be done about it. */
export interface Turns {
  list(tenantId: string, input: TurnListInput): Promise<Page<Turn>>;
  /** Throws `session_not_found` and `turn_not_found`. */
  get(turn: TurnAddress): Promise<Turn>;
  /** One that nobody runs ends at once; one that runs is asked to stop. Throws `turn_ended`. */
  cancel(turn: TurnAddress): Promise<Turn>;
  /**
   * Sends the message of a turn that did not complete again, as a new message with a turn of its own: an outcome
   * is never changed. Throws `turn_not_retryable`, and what sending a message throws.
   */
  retry(turn: TurnAddress, input: RetryInput): Promise<EventSendResponse>;
}

export interface TurnListInput extends PageInput {
  readonly sessionId?: string | undefined;
  readonly states?: readonly TurnState[] | undefined;
}

export interface TurnAddress {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly turnId: string;
}

export interface RetryInput {
  readonly idempotencyKey?: string | undefined;
  readonly waitMs?: number | undefined;
  readonly abort?: AbortSignal | undefined;
}

const RETRYABLE: ReadonlySet<TurnState> = new Set(['failed', 'interrupted', 'cancelled']);

export function createTurns({ store, send }: { readonly store: Store; readonly send: SendEvents }): Turns {
  return {
    async list(tenantId, input) {
      if (input.sessionId !== undefined) await requireSession(store, tenantId, input.sessionId);
      return mapPage(await store.turns.list({ tenantId, ...input }), toTurn);
    },
    get: async (turn) => toTurn(await requireTurn(store, turn)),
    async cancel(turn) {
      const { tenantId, sessionId, turnId } = turn;
      await requireTurn(store, turn);
      await send({ tenantId, sessionId, events: [{ type: 'user.interrupt' }], interruptedTurn: turnId });
      return toTurn(await requireTurn(store, turn));
    },
    async retry(turn, input) {
      const { tenantId, sessionId, turnId } = turn;
      const { state, eventId } = await requireTurn(store, turn);
      if (!RETRYABLE.has(state)) throw new PlatformError('turn_not_retryable', { detail: `The turn is ${state}.` });
      const message = await store.events.find({ tenantId, sessionId, id: eventId });
      if (message === undefined) throw new PlatformError('turn_not_retryable', { detail: 'Its message is no longer kept.' });
      const { content, model } = message.payload;
      const repeated = eventParamSchema.parse({ type: 'user.message', content });
      const own = typeof model === 'string' ? { model } : {};
      return send({ tenantId, sessionId, events: requireSupported([repeated], '/events'), retryOf: turnId, ...own, ...input });
    },
  };
}

async function requireTurn(store: Store, { tenantId, sessionId, turnId }: TurnAddress): Promise<TurnRow> {
  await requireSession(store, tenantId, sessionId);
  const turn = await store.turns.find({ tenantId, id: turnId });
  if (turn === undefined || turn.sessionId !== sessionId)
    throw new PlatformError('turn_not_found', { detail: `There is no turn "${turnId.slice(0, 80)}" in this session.` });
  return turn;
}
