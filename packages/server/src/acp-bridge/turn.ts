import * as acp from '@agentclientprotocol/sdk';
import { type Client, isToolUse, type SessionEvent, type StreamItem, type ToolUseEvent } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { newUnique } from '../base/ids.ts';
import { toContent } from './content.ts';
import { persist } from './patience.ts';
import { createQuestions } from './permissions.ts';
import { createUpdates, metaOf } from './updates.ts';

export interface BridgeDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly editor: acp.AgentContext;
  /** Aborted when the editor has gone. Turns go on at the server. */
  readonly signal: AbortSignal;
  /** What cannot be said to the editor. */
  readonly onError: (error: unknown) => void;
}

/** A prompt that is being answered. */
export interface RunningPrompt {
  readonly done: Promise<acp.PromptResponse>;
  cancel(): Promise<void>;
}

type Ended = Extract<SessionEvent, { type: 'turn.ended' }>;

/** Sends a message, and tells the editor of its turn until that ends; across restarts of the server. */
export function runPrompt(deps: BridgeDeps, { sessionId, prompt }: acp.PromptRequest): RunningPrompt {
  const content = toContent(prompt);
  const key = `acp-${newUnique()}`;
  const sent = Promise.withResolvers<{ readonly eventId: string; readonly turnId: string }>();
  // Whoever waits for it hears of it by `done`.
  sent.promise.catch(() => undefined);
  const cancelled = new AbortController();

  async function send(): Promise<void> {
    const { data } = await persist(deps.clock, deps.signal, () =>
      deps.client.events.send(sessionId, [{ type: 'user.message', content }], { idempotencyKey: key }),
    );
    const [event] = data;
    if (event?.turn_id === undefined || event.turn_id === null) throw new Error('the server gave the message no turn');
    sent.resolve({ eventId: event.id, turnId: event.turn_id });
  }

  async function run(): Promise<acp.PromptResponse> {
    const { last_seq: after } = await persist(deps.clock, deps.signal, () => deps.client.sessions.get(sessionId));
    const leaving = new AbortController();
    const signal = AbortSignal.any([deps.signal, leaving.signal]);
    const items = deps.client.events.stream(sessionId, { after, deltas: ['agent.message'], signal });
    // The first step opens the stream: what is said before it is open comes only whole, not as it is written.
    const first = items.next();
    first.catch(() => undefined);
    try {
      await send();
      return toResponse(await follow(deps, { sessionId, items: resumed(first, items), turnId: (await sent.promise).turnId }));
    } catch (error) {
      sent.reject(error);
      throw error;
    } finally {
      leaving.abort();
    }
  }

  return {
    done: run(),
    async cancel() {
      if (cancelled.signal.aborted) return;
      cancelled.abort();
      const { turnId } = await sent.promise;
      await persist(deps.clock, deps.signal, () => deps.client.turns.cancel(sessionId, turnId));
    },
  };
}

async function* resumed<T>(first: Promise<IteratorResult<T>>, rest: AsyncGenerator<T>): AsyncGenerator<T> {
  for (let step = await first; !step.done; step = await rest.next()) yield step.value;
}

interface Followed {
  readonly sessionId: string;
  readonly items: AsyncIterable<StreamItem>;
  readonly turnId?: string;
  readonly waiting?: readonly ToolUseEvent[];
}

/**
 * Tells the editor of a turn until it ends. Without `turnId` it is the one that is under way. Undefined when the
 * stream ends before: the session was deleted, or the editor has gone. `waiting` are questions of before.
 */
export async function follow(deps: BridgeDeps, { sessionId, items, turnId, waiting = [] }: Followed): Promise<Ended | undefined> {
  const updates = createUpdates({ isReplay: turnId === undefined });
  const questions = createQuestions(deps, deps.onError);
  const tell = async (all: readonly acp.SessionUpdate[], seq?: number) => {
    for (const update of all) await deps.editor.notify('session/update', { sessionId, update, ...metaOf(seq) });
  };
  // Previews do not say whose they are; those that come while the turn runs are its own.
  let isRunning = turnId === undefined;
  for (const event of waiting) questions.ask(sessionId, event);
  try {
    for await (const item of items) {
      if (item.type === 'preview') {
        if (isRunning) await tell(updates.ofPreview(item.preview));
      } else if (item.type === 'event') {
        const { event } = item;
        if (event.type === 'user.tool_confirmation') questions.settle(event.tool_use_id);
        if (turnId !== undefined && event.turn_id !== turnId) continue;
        if (event.type !== 'user.message') isRunning = true;
        await tell(updates.ofEvent(event), event.seq);
        if (isToolUse(event) && event.evaluated_permission === 'ask') questions.ask(sessionId, event);
        if (event.type === 'turn.ended') return event;
      }
    }
    return undefined;
  } finally {
    questions.close();
  }
}

const STOP_REASONS = ['end_turn', 'max_tokens', 'max_turn_requests', 'refusal', 'cancelled'] as const;

function toResponse(ended: Ended | undefined): acp.PromptResponse {
  if (ended === undefined) throw acp.RequestError.internalError(undefined, 'the session ended before the turn did');
  const meta = metaOf(ended.seq);
  if (ended.outcome === 'cancelled') return { stopReason: 'cancelled', ...meta };
  if (ended.outcome === 'completed')
    return { stopReason: STOP_REASONS.find((reason) => reason === ended.stop_reason) ?? 'end_turn', ...meta };
  const { error } = ended;
  throw acp.RequestError.internalError(
    error === null ? undefined : { code: error.code, fix: error.fix },
    error?.message ?? `the turn ended: ${ended.outcome}`,
  );
}
