/**
 * The conversation as the page shows it, made from the session's events alone. `applyEvent` is pure and
 * tolerates what it does not know, so the same log always gives the same page. Entries are replaced, never
 * changed in place: the view draws only those that are new objects.
 */
export interface LogEvent {
  readonly id?: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly fix: string | undefined;
}

export interface ToolEntry {
  readonly type: 'tool';
  readonly id: string;
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** `asking` waits for the user; `stopped` got no result before its turn ended. */
  readonly state: 'running' | 'asking' | 'denied' | 'done' | 'failed' | 'stopped';
  readonly result: string | undefined;
}

export type Entry =
  | { readonly type: 'user'; readonly id: string; readonly text: string }
  | { readonly type: 'agent'; readonly id: string; readonly text: string; readonly isStreaming: boolean }
  | ToolEntry
  | { readonly type: 'failure'; readonly id: string; readonly failure: Failure }
  | { readonly type: 'note'; readonly id: string; readonly text: string };

export type SessionStatus = 'idle' | 'running' | 'waiting' | 'rescheduling' | 'terminated';

export interface Transcript {
  readonly entries: readonly Entry[];
  readonly status: SessionStatus;
  readonly isThinking: boolean;
}

export const EMPTY_TRANSCRIPT: Transcript = { entries: [], status: 'idle', isThinking: false };

export function applyEvent(transcript: Transcript, event: LogEvent): Transcript {
  const id = event.id ?? '';
  switch (event.type) {
    case 'user.message':
      return put(transcript, { type: 'user', id, text: textOf(event.content) });
    case 'event_start':
      return startPreview(transcript, event);
    case 'event_delta':
      return growPreview(transcript, event);
    case 'agent.message':
      return put({ ...transcript, isThinking: false }, { type: 'agent', id, text: textOf(event.content), isStreaming: false });
    case 'agent.tool_use':
    case 'agent.mcp_tool_use':
    case 'agent.custom_tool_use':
      return put({ ...transcript, isThinking: false }, toolEntry(event, id));
    case 'agent.tool_result':
    case 'agent.mcp_tool_result':
      return changeTool(transcript, event.tool_use_id ?? event.mcp_tool_use_id, (tool) => ({
        ...tool,
        state: tool.state === 'denied' ? 'denied' : event.is_error === true ? 'failed' : 'done',
        result: textOf(event.content),
      }));
    case 'user.tool_confirmation':
      return changeTool(transcript, event.tool_use_id, (tool) => ({ ...tool, state: event.result === 'deny' ? 'denied' : 'running' }));
    case 'span.model_request_end':
      return event.is_error === true ? dropPreviews(transcript) : transcript;
    default:
      return applyStatus(transcript, event, id);
  }
}

function applyStatus(transcript: Transcript, event: LogEvent, id: string): Transcript {
  switch (event.type) {
    case 'session.status_running':
      return { ...transcript, status: 'running' };
    case 'session.status_rescheduled':
      return {
        ...put(dropPreviews(transcript), { type: 'note', id, text: 'Something went wrong on the way; trying again.' }),
        status: 'rescheduling',
      };
    case 'session.status_idle':
      return isRecord(event.stop_reason) && event.stop_reason.type === 'requires_action'
        ? { ...transcript, status: 'waiting', isThinking: false }
        : { ...transcript, status: 'idle', isThinking: false };
    case 'session.status_terminated':
      return { ...put(closeTurn(transcript), { type: 'note', id, text: 'This session has ended.' }), status: 'terminated' };
    case 'session.deleted':
      return { ...put(closeTurn(transcript), { type: 'note', id, text: 'This session has been deleted.' }), status: 'terminated' };
    case 'session.error':
      return put(transcript, { type: 'failure', id, failure: toFailure(event.error) });
    case 'turn.ended':
      return endTurn(transcript, event, id);
    default:
      return transcript;
  }
}

/** Says how a turn ended when the conversation does not show it already. */
function endTurn(transcript: Transcript, event: LogEvent, id: string): Transcript {
  const closed = closeTurn(transcript);
  if (event.outcome === 'cancelled') return put(closed, { type: 'note', id, text: 'Stopped.' });
  if (event.outcome === 'completed') {
    if (event.stop_reason === 'max_tokens')
      return put(closed, { type: 'note', id, text: 'The answer reached the length limit of the model.' });
    return event.stop_reason === 'refusal' ? put(closed, { type: 'note', id, text: 'The model declined to answer.' }) : closed;
  }
  const failure = toFailure(event.error);
  const ofTurn = closed.entries.slice(closed.entries.findLastIndex((entry) => entry.type === 'user') + 1);
  const isShown = ofTurn.some((entry) => entry.type === 'failure' && entry.failure.code === failure.code);
  return isShown ? closed : put(closed, { type: 'failure', id, failure });
}

function closeTurn(transcript: Transcript): Transcript {
  const { entries } = dropPreviews(transcript);
  const isOpen = (entry: Entry) => entry.type === 'tool' && (entry.state === 'running' || entry.state === 'asking');
  if (!entries.some(isOpen)) return { ...transcript, entries, isThinking: false };
  return {
    ...transcript,
    isThinking: false,
    entries: entries.map((entry) => (entry.type === 'tool' && isOpen(entry) ? { ...entry, state: 'stopped' } : entry)),
  };
}

function startPreview(transcript: Transcript, event: LogEvent): Transcript {
  const preview = isRecord(event.event) ? event.event : {};
  if (preview.type === 'agent.thinking') return { ...transcript, isThinking: true };
  if (preview.type !== 'agent.message' || typeof preview.id !== 'string') return transcript;
  return put({ ...transcript, isThinking: false }, { type: 'agent', id: preview.id, text: '', isStreaming: true });
}

function growPreview(transcript: Transcript, event: LogEvent): Transcript {
  const content = isRecord(event.delta) && isRecord(event.delta.content) ? event.delta.content : {};
  const entry = transcript.entries.findLast((one) => one.id === event.event_id);
  if (entry?.type !== 'agent' || !entry.isStreaming || typeof content.text !== 'string') return transcript;
  return put(transcript, { ...entry, text: entry.text + content.text });
}

/** Previews whose event never came: the model's answer broke off. */
function dropPreviews(transcript: Transcript): Transcript {
  const isPreview = (entry: Entry) => entry.type === 'agent' && entry.isStreaming;
  if (!transcript.entries.some(isPreview)) return transcript;
  return { ...transcript, entries: transcript.entries.filter((entry) => !isPreview(entry)) };
}

/** Puts an entry at the end, or in the place of the one with its id. */
function put(transcript: Transcript, entry: Entry): Transcript {
  const at = transcript.entries.findLastIndex((one) => one.id === entry.id);
  return { ...transcript, entries: at === -1 ? [...transcript.entries, entry] : transcript.entries.with(at, entry) };
}

function changeTool(transcript: Transcript, id: unknown, change: (tool: ToolEntry) => ToolEntry): Transcript {
  const tool = transcript.entries.findLast((entry) => entry.id === id);
  return tool?.type === 'tool' ? put(transcript, change(tool)) : transcript;
}

function toolEntry(event: LogEvent, id: string): ToolEntry {
  const permission = event.evaluated_permission;
  return {
    type: 'tool',
    id,
    name: typeof event.name === 'string' ? event.name : 'tool',
    input: isRecord(event.input) ? event.input : {},
    state: permission === 'ask' ? 'asking' : permission === 'deny' ? 'denied' : 'running',
    result: undefined,
  };
}

function toFailure(error: unknown): Failure {
  const fields = isRecord(error) ? error : {};
  return {
    code: typeof fields.code === 'string' ? fields.code : typeof fields.type === 'string' ? fields.type : 'unknown_error',
    message: typeof fields.message === 'string' ? fields.message : 'The turn failed.',
    fix: typeof fields.fix === 'string' ? fields.fix : undefined,
  };
}

function textOf(content: unknown): string {
  if (!Array.isArray(content)) return '';
  const parts = content.map((block: unknown) => {
    if (!isRecord(block)) return '';
    return typeof block.text === 'string' ? block.text : `[${String(block.type)}]`;
  });
  return parts.join('\n');
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
