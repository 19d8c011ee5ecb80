import type { SessionUpdate } from '@agentclientprotocol/sdk';
import { type Clock, delay } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { ModelCallEnd, ModelCallObserver, ModelFailure } from '../egress/gateway.ts';
import type { AppendInput, JsonObject, NewEvent, RunToken, Store, Usage } from '../store/store.ts';
import { agentMessage, agentThinking, modelRequestEnd, modelRequestStart, toolResult, toolUse } from './events.ts';
import { createToolLog, type ToolCallFields, type ToolLog } from './tool-log.ts';

export type PreviewSink = (sessionId: string, preview: JsonObject) => void;

export interface RecorderDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly publishPreview: PreviewSink;
  /** Ends retries of writes when the run is over. */
  readonly signal: AbortSignal;
  readonly toolName: (name: string) => string;
}

/**
 * Turns what the agent does into the session's log. Everything is written in the order it happened, under
 * the run's token; what piles up while a write is under way goes into the next one.
 */
export interface Recorder {
  readonly observer: ModelCallObserver;
  /** The newest failed model call, when none has succeeded since. */
  lastModelFailure(): ModelFailure | undefined;
  onUpdate(update: SessionUpdate): void;
  /** Writes the call's `agent.tool_use`, once, with all that came before it; resolves when it is on disk. */
  logToolUse(call: ToolCallFields, permission: 'allow' | 'ask' | 'deny', extra?: Extra): Promise<string>;
  toolLog: ToolLog;
  /** Writes what is given after all that came before. */
  append(events: readonly NewEvent[], extra?: Extra): Promise<void>;
  /** Closes the open message and writes all. With `dropText` an open message with that text is not written. */
  flush(options?: { dropText?: string }): Promise<void>;
  /** Usage not yet written, for the turn's end. */
  takeUsage(): Usage | undefined;
}

export type Extra = Partial<Pick<AppendInput, 'approvals' | 'state' | 'isParked' | 'isPrompted' | 'harnessSessionId'>>;

const WRITE_RETRY_MS = 1000;

export function createRecorder(deps: RecorderDeps, run: RunToken & { readonly sessionId: string }): Recorder {
  const { clock } = deps;
  const toolLog = createToolLog(deps.toolName);
  const callEvents = new Map<string, string>();
  let pending: NewEvent[] = [];
  let usage: Usage | undefined;
  let writes: Promise<void> = Promise.resolve();
  let isScheduled = false;
  let message: { readonly id: string; readonly sourceId: string | null; text: string } | undefined;
  let thinkingId: string | undefined;
  let modelFailure: ModelFailure | undefined;
  // A log with a hole is worse than none: after one refused write nothing more is written.
  let refusal: { readonly error: unknown } | undefined;

  const takeUsage = (): Usage | undefined => {
    const taken = usage;
    usage = undefined;
    return taken;
  };

  function write(extra: Extra): Promise<void> {
    const result = writes.then(async () => {
      if (refusal !== undefined) throw refusal.error;
      const events = pending;
      const taken = takeUsage();
      pending = [];
      if (events.length === 0 && taken === undefined && Object.keys(extra).length === 0) return;
      const input: AppendInput = { turnId: run.turnId, attempt: run.attempt, events, usage: taken, ...extra, now: clock.now() };
      await whileUnavailable(deps, () => deps.store.turns.append(input));
    });
    writes = result.catch((error: unknown) => {
      refusal = { error };
    });
    return result;
  }

  /** Writes soon, together with what comes in the same moment. A refused write shows at the next awaited one. */
  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    queueMicrotask(() => {
      isScheduled = false;
      write({}).catch(() => undefined);
    });
  }

  function record(event: NewEvent): void {
    pending.push(event);
    schedule();
  }

  function closeThinking(): void {
    if (thinkingId === undefined) return;
    record(agentThinking(thinkingId, clock.now()));
    thinkingId = undefined;
  }

  function closeMessage(dropText?: string): void {
    if (message === undefined) return;
    const { id, text } = message;
    message = undefined;
    if (text !== '' && !(dropText !== undefined && dropText.includes(text.trim()))) record(agentMessage(id, text, clock.now()));
  }

  function onText(text: string, sourceId: string | null): void {
    closeThinking();
    if (message !== undefined && message.sourceId !== sourceId) closeMessage();
    if (message === undefined) {
      message = { id: newId('event'), sourceId, text: '' };
      deps.publishPreview(run.sessionId, { type: 'event_start', event: { type: 'agent.message', id: message.id } });
    }
    message.text += text;
    deps.publishPreview(run.sessionId, { type: 'event_delta', event_id: message.id, delta: { type: 'content_delta', index: 0, content: { type: 'text', text } } });
  }

  function onThought(): void {
    closeMessage();
    if (thinkingId !== undefined) return;
    thinkingId = newId('event');
    deps.publishPreview(run.sessionId, { type: 'event_start', event: { type: 'agent.thinking', id: thinkingId } });
  }

  function closeOpen(): void {
    closeThinking();
    closeMessage();
  }

  function recordToolUse(call: ToolCallFields, permission: 'allow' | 'ask' | 'deny'): string {
    const entry = toolLog.merge(call);
    if (entry.eventId !== undefined) return entry.eventId;
    closeOpen();
    entry.eventId = newId('event');
    pending.push(toolUse({ id: entry.eventId, name: entry.name, input: entry.input, permission }, clock.now()));
    return entry.eventId;
  }

  function onToolUpdate(call: ToolCallFields & { readonly status?: string | null }): void {
    const entry = toolLog.merge(call);
    const isOver = call.status === 'completed' || call.status === 'failed';
    if (isOver || call.status === 'in_progress') recordToolUse(call, 'allow');
    if (!isOver || entry.eventId === undefined || entry.isOver) return schedule();
    entry.isOver = true;
    record(toolResult({ toolUseId: entry.eventId, text: toolLog.resultText(call), isError: call.status === 'failed' }, clock.now()));
  }

  return {
    toolLog,
    takeUsage,
    lastModelFailure: () => modelFailure,
    observer: {
      onStart(call) {
        const id = newId('event');
        callEvents.set(call.callId, id);
        record(modelRequestStart(id, call.model, clock.now()));
      },
      onEnd(call: ModelCallEnd) {
        const startId = callEvents.get(call.callId);
        callEvents.delete(call.callId);
        if (startId === undefined) return;
        usage = addUsage(usage, call.usage);
        if (call.failure === undefined) modelFailure = undefined;
        else if (call.failure !== 'aborted') modelFailure = call.failure;
        record(modelRequestEnd({ startId, usage: call.usage, isError: call.failure !== undefined }, clock.now()));
      },
    },
    onUpdate(update) {
      if (update.sessionUpdate === 'agent_message_chunk') {
        if (update.content.type === 'text') onText(update.content.text, update.messageId ?? null);
      } else if (update.sessionUpdate === 'agent_thought_chunk') onThought();
      else if (update.sessionUpdate === 'tool_call' || update.sessionUpdate === 'tool_call_update') onToolUpdate(update);
    },
    async logToolUse(call, permission, extra = {}) {
      const eventId = recordToolUse(call, permission);
      await write(extra);
      return eventId;
    },
    async append(events, extra = {}) {
      closeOpen();
      pending.push(...events);
      await write(extra);
    },
    async flush({ dropText } = {}) {
      closeThinking();
      closeMessage(dropText);
      await write({});
    },
  };
}

/** A full disk or a busy database delays the log, it does not lose it: the agent waits. */
export async function whileUnavailable<T>(deps: { readonly clock: Clock; readonly signal: AbortSignal }, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isPlatformError(error, 'disk_full') && !isPlatformError(error, 'store_unavailable')) throw error;
      if (deps.signal.aborted) throw error;
      await delay(deps.clock, WRITE_RETRY_MS, deps.signal);
    }
  }
}

export function addUsage(a: Usage | undefined, b: Usage): Usage {
  if (a === undefined) return b;
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
    cacheCreationTokens: a.cacheCreationTokens + b.cacheCreationTokens,
  };
}
