import type { SessionUpdate } from '@agentclientprotocol/sdk';
import { STAGES } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { WorkContext } from '../base/work-context.ts';
import { parseTraceparent, type Span, type SpanInput, type Tracer } from '../core/tracing.ts';
import type { ModelCallObserver } from '../egress/gateway.ts';
import type { Stages } from '../sandboxes/stages.ts';
import type { LeasedTurn } from '../store/store.ts';
import type { TurnEnd } from './outcome.ts';

/** The spans of one attempt at a turn. Where nobody traces the turn it does nothing. */
export interface RunTrace {
  /** What everything of the attempt is written and traced under. */
  readonly work: WorkContext;
  /** Waits for a sandbox; its stages are what `stages` has gained. */
  acquire<T>(stages: Stages, run: () => Promise<T>): Promise<T>;
  /** From the prompt to the agent's last word. */
  prompt<T>(run: () => Promise<T>): Promise<T>;
  /** Writes the end of the attempt. */
  outcome<T>(run: () => Promise<T>): Promise<T>;
  onUpdate(update: SessionUpdate, nameOf: (toolCallId: string) => string | undefined): void;
  observe(observer: ModelCallObserver): ModelCallObserver;
  end(end: TurnEnd | undefined): void;
}

export interface RunTraceDeps {
  readonly tracer?: Tracer | undefined;
  readonly clock: Clock;
}

export function beginRunTrace({ tracer, clock }: RunTraceDeps, { turn, session }: LeasedTurn): RunTrace {
  const fields = { session: session.id, turn: turn.id, attempt: turn.attempt };
  const parent = tracer === undefined || turn.traceparent === null ? undefined : parseTraceparent(turn.traceparent);
  if (tracer === undefined || parent === undefined) return untraced({ fields });
  const { createdAt, attempt, leasedAt } = { ...turn, leasedAt: clock.now() };
  // Of a turn that is taken up again, the time since it was made is not one of waiting.
  if (attempt === 1) tracer.begin({ name: 'queue', parent, startedAt: Math.min(createdAt, leasedAt) }).end({ at: leasedAt });
  const attributes = {
    'cloister.session.id': session.id,
    'cloister.turn.id': turn.id,
    'cloister.turn.attempt': attempt,
    'cloister.agent.id': session.agentId,
    'cloister.environment.id': session.environmentId,
  };
  const run = tracer.begin({ name: 'run', kind: 'consumer', parent, startedAt: leasedAt, attributes });
  return traced(tracer, clock, run, { fields, span: run.context });
}

function untraced(work: WorkContext): RunTrace {
  return {
    work,
    acquire: (_stages, run) => run(),
    prompt: (run) => run(),
    outcome: (run) => run(),
    onUpdate: () => undefined,
    observe: (observer) => observer,
    end: () => undefined,
  };
}

/** In the order in which a turn goes through them. */
const ORDER: readonly string[] = STAGES;

function traced(tracer: Tracer, clock: Clock, run: Span, work: WorkContext): RunTrace {
  const open = new Set<Span>();
  let prompt: Span | undefined;
  const begin = (input: Omit<SpanInput, 'parent'>, parent: Span = prompt ?? run): Span => {
    const span = tracer.begin({ ...input, parent: parent.context });
    open.add(span);
    return span;
  };
  const close = (span: Span, failure?: string) => {
    open.delete(span);
    span.end({ failure });
  };
  const within = async <T>(span: Span, todo: () => Promise<T>): Promise<T> => {
    try {
      const result = await todo();
      close(span);
      return result;
    } catch (error) {
      close(span, codeOf(error));
      throw error;
    }
  };
  return {
    work,
    async acquire(stages, todo) {
      const before = new Set(Object.keys(stages));
      const startedAt = clock.now();
      const span = begin({ name: 'sandbox', startedAt }, run);
      try {
        return await within(span, todo);
      } finally {
        stageSpans(tracer, span, { stages, before, startedAt });
      }
    },
    async prompt(todo) {
      prompt = begin({ name: 'prompt' }, run);
      try {
        return await within(prompt, todo);
      } finally {
        prompt = undefined;
      }
    },
    outcome: (todo) => within(begin({ name: 'outcome' }, run), todo),
    ...toolSpans(begin, close),
    observe: (observer) => modelSpans(observer, begin, close),
    end(end) {
      // What an attempt that was stopped has left open ends with it.
      for (const span of open) close(span, 'aborted');
      const failure = end?.type === 'finished' ? end.problem?.code : end?.type === 'retry' ? end.problem.code : undefined;
      run.set({ 'cloister.turn.outcome': end === undefined ? 'lost' : end.type === 'finished' ? end.outcome : end.type });
      run.end({ failure });
    },
  };
}

type Begin = (input: Omit<SpanInput, 'parent'>) => Span;
type Close = (span: Span, failure?: string) => void;

interface Passed {
  readonly stages: Stages;
  readonly before: ReadonlySet<string>;
  readonly startedAt: number;
}

/** They follow each other without a gap; what the room took to get comes before the first. */
function stageSpans(tracer: Tracer, parent: Span, { stages, before, startedAt }: Passed): void {
  const entries: readonly (readonly [string, number])[] = Object.entries(stages);
  const own = entries.filter(([stage]) => !before.has(stage)).toSorted(([a], [b]) => ORDER.indexOf(a) - ORDER.indexOf(b));
  let at = startedAt;
  for (const [stage, ms] of own) {
    const span = tracer.begin({ name: `sandbox.${stage}`, parent: parent.context, startedAt: at });
    at += ms;
    span.end({ at });
  }
}

function toolSpans(begin: Begin, close: Close): Pick<RunTrace, 'onUpdate'> {
  const calls = new Map<string, Span>();
  return {
    onUpdate(update, nameOf) {
      if (update.sessionUpdate !== 'tool_call' && update.sessionUpdate !== 'tool_call_update') return;
      const { toolCallId, status } = update;
      const isOver = status === 'completed' || status === 'failed';
      let span = calls.get(toolCallId);
      // What is told of a call that is over does not begin it again.
      if (span === undefined && isOver && update.sessionUpdate === 'tool_call_update') return;
      if (span === undefined) {
        span = begin({ name: 'tool', attributes: { 'gen_ai.tool.call.id': toolCallId } });
        calls.set(toolCallId, span);
      }
      const name = nameOf(toolCallId);
      if (name !== undefined) {
        span.rename(`tool ${name}`);
        span.set({ 'gen_ai.tool.name': name });
      }
      if (!isOver) return;
      calls.delete(toolCallId);
      close(span, status === 'failed' ? 'tool_failed' : undefined);
    },
  };
}

function modelSpans(observer: ModelCallObserver, begin: Begin, close: Close): ModelCallObserver {
  const calls = new Map<string, Span>();
  return {
    ...observer,
    onStart(call) {
      const attributes = {
        'gen_ai.system': call.provider,
        'gen_ai.request.model': call.model ?? undefined,
        'cloister.call.id': call.callId,
      };
      calls.set(call.callId, begin({ name: `chat ${call.model ?? call.provider}`, kind: 'client', attributes }));
      observer.onStart(call);
    },
    onEnd(call) {
      observer.onEnd(call);
      const span = calls.get(call.callId);
      if (span === undefined) return;
      calls.delete(call.callId);
      const { inputTokens, outputTokens, cacheReadTokens } = call.usage;
      span.set({
        'gen_ai.response.model': call.model ?? undefined,
        'gen_ai.usage.input_tokens': inputTokens,
        'gen_ai.usage.output_tokens': outputTokens,
        'gen_ai.usage.cache_read_tokens': cacheReadTokens,
      });
      close(span, typeof call.failure === 'object' ? call.failure.code : call.failure);
    },
  };
}

function codeOf(error: unknown): string {
  return isPlatformError(error) ? error.code : 'bug';
}
