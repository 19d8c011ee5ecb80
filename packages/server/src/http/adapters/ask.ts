import { isProblemCode, type Turn } from '@cloister/api';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import type { SupportedEvent } from '../../sessions/supported-events.ts';
import { type TurnAnswer, toTurnAnswer } from '../../sessions/turn-answer.ts';
import { isTerminal, type StoredEvent } from '../../store/store.ts';
import type { AppContext, HttpDeps } from '../context.ts';
import { readIdempotencyKey } from '../idempotency.ts';
import type { RouteTable } from '../openapi.ts';

export interface Question {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly message: SupportedEvent;
  readonly model?: string | undefined;
  /** The turn is stopped then; left out, it takes as long as a turn may. */
  readonly timeoutMs: number | undefined;
}

/** A wait that is longer than any turn, so that a turn's own limit is what ends it. */
const MARGIN_MS = 60_000;

/**
 * Sends a message and waits for the answer. A turn that nobody waits for any more is stopped, unless the request has an
 * Idempotency-Key, by which its client can come back. Throws what the turn ended with, when that is no answer.
 */
export async function ask({ deps, limits }: RouteTable, c: AppContext, question: Question): Promise<{ turn: Turn; answer: TurnAnswer }> {
  const { tenantId, sessionId, message, model, timeoutMs } = question;
  const idempotencyKey = readIdempotencyKey(c);
  const abort = c.req.raw.signal;
  // Most of its time it only waits, and so it counts among the streams.
  const leave = limits.streams.take(tenantId);
  c.get('flight').land();
  try {
    const waitMs = timeoutMs ?? deps.turnTimeoutMs + MARGIN_MS;
    const sent = await deps.sendEvents({ tenantId, sessionId, events: [message], idempotencyKey, model, waitMs, abort });
    const { turn, events = [] } = sent;
    if (turn === undefined || turn === null) throw new PlatformError('bug', { cause: new Error('a message has a turn') });
    if (turn.state === 'completed') return { turn, answer: toTurnAnswer(events.map(toLogged)) };
    if (isTerminal(turn.state)) throw failureOf(turn);
    if (turn.state === 'waiting_approval') throw new PlatformError('approval_awaited');
    if (idempotencyKey === undefined || !abort.aborted) await stopTurn(deps, { tenantId, sessionId, turnId: turn.id });
    throw new PlatformError('turn_timeout', { detail: `The turn was stopped after ${waitMs / 1000} s.` });
  } finally {
    leave();
  }
}

function toLogged({
  type,
  ...payload
}: NonNullable<Awaited<ReturnType<HttpDeps['sendEvents']>>['events']>[number]): Pick<StoredEvent, 'type' | 'payload'> {
  // An event on the wire is its payload with the fields of every event beside it.
  return { type, payload: payload as StoredEvent['payload'] };
}

/** Why the turn has no answer. */
export function failureOf({ state, error }: Pick<Turn, 'state' | 'error'>): PlatformError {
  if (error !== null) return new PlatformError(isProblemCode(error.code) ? error.code : 'turn_interrupted', { detail: error.message });
  return new PlatformError('turn_interrupted', { detail: state === 'cancelled' ? 'The turn was stopped.' : 'The turn did not complete.' });
}

/** One that has just ended is as good as stopped. */
export async function stopTurn(
  { turns }: Pick<HttpDeps, 'turns'>,
  turn: { readonly tenantId: string; readonly sessionId: string; readonly turnId: string },
): Promise<void> {
  try {
    await turns.cancel(turn);
  } catch (error) {
    if (!isPlatformError(error, 'turn_ended') && !isPlatformError(error, 'session_not_found')) throw error;
  }
}
