import type { SessionUpdate } from '@agentclientprotocol/sdk';
import { type Clock, delay } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { McpRefusal, ModelCallEnd, ModelCallObserver, ModelFailure } from '../egress/gateway.ts';
import type { AppendInput, JsonObject, NewEvent, RunToken, Store, Usage } from '../store/store.ts';
import { agentMessage, agentThinking, mcpAuthenticationFailed, modelRequestEnd, modelRequestStart, toolResult, toolUse } from './events.ts';
import { createToolLog, type NameTool, type ToolCallFields, type ToolLog } from './tool-log.ts';

export type PreviewSink = (sessionId: string, preview: JsonObject) => void;

export interface RecorderDeps extends Patience {
  readonly store: Store;
  readonly publishPreview: PreviewSink;
  readonly nameTool: NameTool;
}

export type Extra = Partial<Pick<AppendInput, 'approvals' | 'state' | 'isParked' | 'isPrompted' | 'harnessSessionId'>>;

export interface Patience {
  readonly clock: Clock;
  /** Aborted when the server cannot wait for the store any longer. */
  readonly giveUp: AbortSignal;
}

const WRITE_RETRY_MS = 1000;

/**
 * Turns what the agent does into the session's log. Everything is written in the order it happened, under
 * the run's token; what piles up while a write is under way goes into the next one.
 */
export class Recorder {
  readonly toolLog: ToolLog;
  readonly observer: ModelCallObserver;
  private readonly deps: RecorderDeps;
  private readonly run: RunToken & { readonly sessionId: string };
  private readonly callEvents = new Map<string, string>();
  private readonly refusedServers = new Set<string>();
  private pending: NewEvent[] = [];
  private usage: Usage | undefined;
  private writes: Promise<void> = Promise.resolve();
  private isScheduled = false;
  private hasWritten = false;
  private isEnding = false;
  private message: { readonly id: string; readonly sourceId: string | null; text: string } | undefined;
  private thinkingId: string | undefined;
  private modelFailure: ModelFailure | undefined;
  // A log with a hole is worse than none: after one refused write nothing more is written.
  private refusal: { readonly error: unknown } | undefined;

  constructor(deps: RecorderDeps, run: RunToken & { readonly sessionId: string }) {
    this.deps = deps;
    this.run = run;
    this.toolLog = createToolLog(deps.nameTool);
    this.observer = {
      onStart: (call) => this.onModelStart(call),
      onEnd: (call) => this.onModelEnd(call),
      onMcpRefusal: (refusal) => this.onMcpRefusal(refusal),
    };
  }

  /** The newest failed model call, when none has succeeded since. */
  lastModelFailure(): ModelFailure | undefined {
    return this.modelFailure;
  }

  /** True once anything of the agent's own is in the log: a word, a thought, a tool call. */
  hasOutput(): boolean {
    return this.hasWritten;
  }

  /** True once the agent has said, thought or done anything, written or not. */
  hasBegun(): boolean {
    return this.hasWritten || this.message !== undefined || this.thinkingId !== undefined || !this.toolLog.isEmpty();
  }

  /** Forgets what the agent has begun to say: it is tried again, and says it anew. */
  dropOpen(): void {
    this.message = undefined;
    this.thinkingId = undefined;
  }

  /** Usage not yet written, for the turn's end. */
  takeUsage(): Usage | undefined {
    const taken = this.usage;
    this.usage = undefined;
    return taken;
  }

  onUpdate(update: SessionUpdate): void {
    if (update.sessionUpdate === 'agent_message_chunk') {
      if (update.content.type === 'text') this.onText(update.content.text, update.messageId ?? null);
    } else if (update.sessionUpdate === 'agent_thought_chunk') this.onThought();
    else if (update.sessionUpdate === 'tool_call' || update.sessionUpdate === 'tool_call_update') this.onToolUpdate(update);
  }

  /** Writes the event of the call, once, with all that came before it; resolves when it is on disk. */
  async logToolUse(call: ToolCallFields, permission: 'allow' | 'ask' | 'deny'): Promise<string> {
    const eventId = this.recordToolUse(call, permission);
    await this.write({});
    return eventId;
  }

  /** Writes what is given after all that came before. */
  async append(events: readonly NewEvent[], extra: Extra = {}): Promise<void> {
    this.closeThinking();
    this.closeMessage();
    this.pending.push(...events);
    await this.write(extra);
  }

  /** Closes the open message and writes all. With `dropText` an open message with that text is not written. */
  async flush({ dropText }: { readonly dropText?: string } = {}): Promise<void> {
    this.closeThinking();
    this.closeMessage(dropText);
    await this.write({});
  }

  /** Closes the open message and returns what is not written yet, for the commit that writes the end of the turn. */
  async takeRest(): Promise<readonly NewEvent[]> {
    this.isEnding = true;
    this.closeThinking();
    this.closeMessage();
    for (let last: Promise<void> | undefined; last !== this.writes; ) {
      last = this.writes;
      await last;
    }
    if (this.refusal !== undefined) throw this.refusal.error;
    return this.pending.splice(0);
  }

  private write(extra: Extra): Promise<void> {
    const result = this.writes.then(async () => {
      if (this.refusal !== undefined) throw this.refusal.error;
      const events = this.pending;
      const usage = this.takeUsage();
      this.pending = [];
      if (events.length === 0 && usage === undefined && Object.keys(extra).length === 0) return;
      const { turnId, attempt } = this.run;
      const input: AppendInput = { turnId, attempt, events, usage, ...extra, now: this.deps.clock.now() };
      await whileUnavailable(this.deps, () => this.deps.store.turns.append(input));
    });
    this.writes = result.catch((error: unknown) => {
      this.refusal = { error };
    });
    return result;
  }

  /** Writes soon, together with what comes in the same moment. A refused write shows at the next awaited one. */
  private schedule(): void {
    if (this.isScheduled || this.isEnding) return;
    this.isScheduled = true;
    queueMicrotask(() => {
      this.isScheduled = false;
      this.write({}).catch(() => undefined);
    });
  }

  private record(event: NewEvent): void {
    if (event.type.startsWith('agent.')) this.hasWritten = true;
    this.pending.push(event);
    this.schedule();
  }

  private closeThinking(): void {
    if (this.thinkingId === undefined) return;
    this.record(agentThinking(this.thinkingId, this.deps.clock.now()));
    this.thinkingId = undefined;
  }

  private closeMessage(dropText?: string): void {
    if (this.message === undefined) return;
    const { id, text } = this.message;
    this.message = undefined;
    const isDropped = dropText?.includes(text.trim()) ?? false;
    if (text !== '' && !isDropped) this.record(agentMessage(id, text, this.deps.clock.now()));
  }

  private preview(preview: JsonObject): void {
    this.deps.publishPreview(this.run.sessionId, preview);
  }

  private onText(text: string, sourceId: string | null): void {
    this.closeThinking();
    if (this.message !== undefined && this.message.sourceId !== sourceId) this.closeMessage();
    if (this.message === undefined) {
      this.message = { id: newId('event'), sourceId, text: '' };
      this.preview({ type: 'event_start', event: { type: 'agent.message', id: this.message.id } });
    }
    this.message.text += text;
    this.preview({
      type: 'event_delta',
      event_id: this.message.id,
      delta: { type: 'content_delta', index: 0, content: { type: 'text', text } },
    });
  }

  private onThought(): void {
    this.closeMessage();
    if (this.thinkingId !== undefined) return;
    this.thinkingId = newId('event');
    this.preview({ type: 'event_start', event: { type: 'agent.thinking', id: this.thinkingId } });
  }

  private recordToolUse(call: ToolCallFields, permission: 'allow' | 'ask' | 'deny'): string {
    const entry = this.toolLog.merge(call);
    if (entry.eventId !== undefined) return entry.eventId;
    this.closeThinking();
    this.closeMessage();
    entry.eventId = newId('event');
    entry.isMcpEvent = entry.mcp !== undefined;
    const { eventId: id, name, mcp, input } = entry;
    this.record(toolUse({ id, name, mcp, input, permission }, this.deps.clock.now()));
    return entry.eventId;
  }

  private onToolUpdate(call: ToolCallFields & { readonly status?: string | null }): void {
    const entry = this.toolLog.merge(call);
    const isOver = call.status === 'completed' || call.status === 'failed';
    if (isOver || call.status === 'in_progress') this.recordToolUse(call, 'allow');
    if (!isOver || entry.eventId === undefined || entry.isOver) return;
    entry.isOver = true;
    const { eventId: toolUseId, isMcpEvent: isMcp } = entry;
    const [text, isError] = [this.toolLog.resultText(call), call.status === 'failed'];
    this.record(toolResult({ toolUseId, isMcp, text, isError }, this.deps.clock.now()));
  }

  /** Once for a turn, however often its agent tries. */
  private onMcpRefusal(refusal: McpRefusal): void {
    if (this.refusedServers.has(refusal.server)) return;
    this.refusedServers.add(refusal.server);
    this.record(mcpAuthenticationFailed(refusal, this.deps.clock.now()));
  }

  private onModelStart(call: { readonly callId: string; readonly model: string | null }): void {
    const id = newId('event');
    this.callEvents.set(call.callId, id);
    this.record(modelRequestStart(id, call.model, this.deps.clock.now()));
  }

  private onModelEnd(call: ModelCallEnd): void {
    const startId = this.callEvents.get(call.callId);
    this.callEvents.delete(call.callId);
    if (startId === undefined) return;
    this.usage = addUsage(this.usage, call.usage);
    if (call.failure === undefined) this.modelFailure = undefined;
    else if (call.failure !== 'aborted') this.modelFailure = call.failure;
    this.record(modelRequestEnd({ startId, usage: call.usage, isError: call.failure !== undefined }, this.deps.clock.now()));
  }
}

/**
 * A full disk or a busy database delays the log, it does not lose it: the agent waits. So does the end of a run that
 * was stopped meanwhile, since an outcome after a hole in the log would never be written. Only a server that has to
 * end gives up; whoever takes the turn over writes its end.
 */
export async function whileUnavailable<T>(deps: Patience, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isPlatformError(error, 'disk_full') && !isPlatformError(error, 'store_unavailable')) throw error;
      await delay(deps.clock, WRITE_RETRY_MS, deps.giveUp);
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
