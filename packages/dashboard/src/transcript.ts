import { type Preview, type SessionEvent, toolNameOf, toolUseIdOf } from '@cloister/api';
import type { Failure } from './failure.ts';

/**
 * The conversation as the page shows it, made from the session's events alone. `applyEvent` is pure and
 * tolerates what it does not know, so the same log always gives the same page. Entries are replaced, never
 * changed in place: the view draws only those that are new objects.
 */
export interface Transcript {
  readonly entries: readonly Entry[];
  readonly status: SessionStatus;
  readonly isThinking: boolean;
}

export type SessionStatus = 'idle' | 'running' | 'waiting' | 'rescheduling' | 'terminated';

export type Entry =
  | { readonly type: 'user'; readonly id: string; readonly text: string }
  | { readonly type: 'agent'; readonly id: string; readonly text: string; readonly isStreaming: boolean }
  | ToolEntry
  | { readonly type: 'failure'; readonly id: string; readonly failure: Failure }
  | { readonly type: 'note'; readonly id: string; readonly text: string };

export interface ToolEntry {
  readonly type: 'tool';
  readonly id: string;
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** `asking` waits for the user; `stopped` got no result before its turn ended. */
  readonly state: 'running' | 'asking' | 'denied' | 'done' | 'failed' | 'stopped';
  readonly result: string | undefined;
}

export const EMPTY_TRANSCRIPT: Transcript = { entries: [], status: 'idle', isThinking: false };

const PERMISSION_STATES = { allow: 'running', ask: 'asking', deny: 'denied' } as const;

export function applyEvent(transcript: Transcript, event: SessionEvent | Preview): Transcript {
  switch (event.type) {
    case 'user.message':
      return put(transcript, { type: 'user', id: event.id, text: textOf(event.content) });
    case 'event_start':
      return startPreview(transcript, event);
    case 'event_delta':
      return growPreview(transcript, event);
    case 'agent.message':
      return put({ ...transcript, isThinking: false }, { type: 'agent', id: event.id, text: textOf(event.content), isStreaming: false });
    case 'agent.thinking':
      return { ...transcript, isThinking: false };
    case 'agent.tool_use':
    case 'agent.mcp_tool_use': {
      const { id, input, evaluated_permission: permission } = event;
      return put(
        { ...transcript, isThinking: false },
        { type: 'tool', id, name: toolNameOf(event), input, state: PERMISSION_STATES[permission], result: undefined },
      );
    }
    case 'agent.tool_result':
    case 'agent.mcp_tool_result':
      return changeTool(transcript, toolUseIdOf(event), (tool) => ({
        ...tool,
        state: tool.state === 'denied' ? 'denied' : event.is_error ? 'failed' : 'done',
        result: textOf(event.content),
      }));
    case 'user.tool_confirmation':
      return changeTool(transcript, event.tool_use_id, (tool) => ({ ...tool, state: event.result === 'deny' ? 'denied' : 'running' }));
    case 'approval.expired':
      return changeTool(transcript, event.approval_id, (tool) => ({ ...tool, state: 'denied' }));
    case 'span.model_request_end':
      return event.is_error ? dropPreviews(transcript) : transcript;
    default:
      return applyStatus(transcript, event);
  }
}

function applyStatus(transcript: Transcript, event: SessionEvent): Transcript {
  const note = (base: Transcript, text: string) => put(base, { type: 'note', id: event.id, text });
  switch (event.type) {
    case 'session.status_running':
      return { ...transcript, status: 'running' };
    case 'session.status_rescheduled':
      return { ...note(dropPreviews(transcript), 'Something went wrong on the way; trying again.'), status: 'rescheduling' };
    case 'session.status_idle':
      return { ...transcript, status: event.stop_reason.type === 'requires_action' ? 'waiting' : 'idle', isThinking: false };
    case 'session.status_terminated':
      return { ...note(closeTurn(transcript), 'This session has ended.'), status: 'terminated' };
    case 'session.deleted':
      return { ...note(closeTurn(transcript), 'This session has been deleted.'), status: 'terminated' };
    case 'approval.requested':
      return note(transcript, 'A budget is used up: raise it, or stop, under Approvals.');
    case 'session.error':
      return put(transcript, { type: 'failure', id: event.id, failure: event.error });
    case 'turn.ended':
      return endTurn(transcript, event);
    default:
      return transcript;
  }
}

/** Says how a turn ended when the conversation does not show it already. */
function endTurn(transcript: Transcript, event: Extract<SessionEvent, { type: 'turn.ended' }>): Transcript {
  const closed = closeTurn(transcript);
  const note = (text: string) => put(closed, { type: 'note', id: event.id, text });
  if (event.outcome === 'cancelled') return note('Stopped.');
  if (event.outcome === 'completed') {
    if (event.stop_reason === 'max_tokens') return note('The answer reached the length limit of the model.');
    return event.stop_reason === 'refusal' ? note('The model declined to answer.') : closed;
  }
  const failure: Failure = event.error ?? { code: event.outcome, message: 'The turn did not complete.' };
  const ofTurn = closed.entries.slice(closed.entries.findLastIndex((entry) => entry.type === 'user') + 1);
  const isShown = ofTurn.some((entry) => entry.type === 'failure' && entry.failure.code === failure.code);
  return isShown ? closed : put(closed, { type: 'failure', id: event.id, failure });
}

function closeTurn(transcript: Transcript): Transcript {
  const { entries } = dropPreviews(transcript);
  const isOpen = (entry: Entry) => entry.type === 'tool' && (entry.state === 'running' || entry.state === 'asking');
  return {
    ...transcript,
    isThinking: false,
    entries: entries.map((entry) => (entry.type === 'tool' && isOpen(entry) ? { ...entry, state: 'stopped' } : entry)),
  };
}

function startPreview(transcript: Transcript, { event }: Extract<Preview, { type: 'event_start' }>): Transcript {
  if (event.type === 'agent.thinking') return { ...transcript, isThinking: true };
  return put({ ...transcript, isThinking: false }, { type: 'agent', id: event.id, text: '', isStreaming: true });
}

/** A piece whose start was missed is left out: the whole text comes with the event. */
function growPreview(transcript: Transcript, { event_id, delta }: Extract<Preview, { type: 'event_delta' }>): Transcript {
  const entry = transcript.entries.findLast((one) => one.id === event_id);
  if (entry?.type !== 'agent' || !entry.isStreaming) return transcript;
  return put(transcript, { ...entry, text: entry.text + delta.content.text });
}

/** Previews whose event never came: the model's answer broke off. */
function dropPreviews(transcript: Transcript): Transcript {
  return { ...transcript, entries: transcript.entries.filter((entry) => entry.type !== 'agent' || !entry.isStreaming) };
}

/** Puts an entry at the end, or in the place of the one with its id. */
function put(transcript: Transcript, entry: Entry): Transcript {
  const at = transcript.entries.findLastIndex((one) => one.id === entry.id);
  return { ...transcript, entries: at === -1 ? [...transcript.entries, entry] : transcript.entries.with(at, entry) };
}

function changeTool(transcript: Transcript, id: string, change: (tool: ToolEntry) => ToolEntry): Transcript {
  const tool = transcript.entries.findLast((entry) => entry.id === id);
  return tool?.type === 'tool' ? put(transcript, change(tool)) : transcript;
}

function textOf(content: readonly { readonly type: string; readonly text?: string }[]): string {
  return content.map((block) => block.text ?? `[${block.type}]`).join('\n');
}
