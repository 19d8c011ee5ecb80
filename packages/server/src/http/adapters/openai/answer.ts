import type { Turn } from '@cloister/api';
import { isProblemCode } from '@cloister/api';
import { isPlatformError, PlatformError } from '../../../base/errors.ts';
import type { HttpDeps } from '../../context.ts';
import { followTurn, type TurnItem } from '../follow-turn.ts';
import type { Accepted } from './conversation.ts';

export interface Usage {
  input: number;
  cached: number;
  output: number;
}

export interface Answer {
  readonly messages: readonly { readonly id: string; readonly text: string }[];
  readonly usage: Readonly<Usage>;
  readonly outcome: NonNullable<Turn['outcome']>;
  readonly error: Turn['error'];
}

/** Between the messages of one answer, where there is only one text for them. */
export const SEPARATOR = '\n\n';

/** Takes what comes of a turn and adds it up. */
export function createTally() {
  const messages: { id: string; text: string }[] = [];
  const usage: Usage = { input: 0, cached: 0, output: 0 };
  let ended: Pick<Answer, 'outcome' | 'error'> | undefined;
  return {
    usage,
    take(item: TurnItem): void {
      if (item.type === 'text') return;
      const { event } = item;
      if (event.type === 'agent.message') messages.push({ id: event.id, text: event.content.map(({ text }) => text).join('') });
      if (event.type === 'span.model_request_end') {
        const { input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens } = event.model_usage;
        usage.input += input_tokens + cache_read_input_tokens + cache_creation_input_tokens;
        usage.cached += cache_read_input_tokens;
        usage.output += output_tokens;
      }
      if (event.type === 'turn.ended') ended = { outcome: event.outcome, error: event.error };
    },
    /** Undefined when the turn was not followed to its end. */
    answer: (): Answer | undefined => (ended === undefined ? undefined : { messages, usage, ...ended }),
  };
}

/** How long an answer that comes in one piece is waited for: as long as OpenAI's clients do. */
const MAX_WAIT_MS = 600_000;

/**
 * Waits for the whole answer. A client that goes away is one that wants no answer any more, so its turn is
 * interrupted. Throws `turn_timeout` when the turn takes longer; it goes on.
 */
export async function wholeAnswer(deps: HttpDeps, turn: Accepted, gone: AbortSignal): Promise<Answer> {
  const time = new AbortController();
  const cancel = deps.clock.after(MAX_WAIT_MS, () => time.abort());
  const tally = createTally();
  try {
    for await (const item of followTurn(deps, { ...turn, signal: AbortSignal.any([gone, time.signal]) })) tally.take(item);
  } finally {
    cancel();
  }
  const answer = tally.answer();
  if (answer !== undefined) return answer;
  if (gone.aborted) await interrupt(deps, turn);
  throw new PlatformError('turn_timeout', {
    detail: `The turn ${turn.turnId} has not ended after ${MAX_WAIT_MS / 1000} seconds, and goes on.`,
  });
}

export async function interrupt(deps: HttpDeps, turn: Accepted): Promise<void> {
  try {
    await deps.turns.cancel(turn);
  } catch (error) {
    // It has ended by itself, or its session has; otherwise it runs to its end.
    if (!isPlatformError(error, 'turn_ended') && !isPlatformError(error, 'session_not_found'))
      deps.log.warn({ err: error, session: turn.sessionId }, 'a turn that nobody waits for could not be interrupted');
  }
}

/** Why there is no answer, as an error; undefined when there is one. */
export function failureOf({ outcome, error }: Pick<Answer, 'outcome' | 'error'>): PlatformError | undefined {
  if (outcome === 'completed') return undefined;
  const code = error !== null && isProblemCode(error.code) ? error.code : 'turn_interrupted';
  return new PlatformError(code, error === null ? { detail: `The turn ended: ${outcome}.` } : { detail: error.message });
}
