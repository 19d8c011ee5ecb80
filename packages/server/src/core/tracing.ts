import type { TraceContext } from '../base/work-context.ts';

export type { TraceContext } from '../base/work-context.ts';

/** Ids, names, counts and durations: never a secret, and nothing of what anybody said. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export const SPAN_KINDS = ['internal', 'server', 'client', 'producer', 'consumer'] as const;
export type SpanKind = (typeof SPAN_KINDS)[number];

export interface SpanInput {
  readonly name: string;
  readonly kind?: SpanKind | undefined;
  /** Undefined begins a trace. */
  readonly parent?: TraceContext | undefined;
  /** Of the wall clock; now, when it is left out. */
  readonly startedAt?: number | undefined;
  readonly attributes?: Attributes | undefined;
}

export interface Span {
  readonly context: TraceContext;
  rename(name: string): void;
  set(attributes: Attributes): void;
  /** Once; a repeat changes nothing. `failure`: the code of what went wrong. */
  end(input?: { readonly at?: number | undefined; readonly failure?: string | undefined }): void;
}

/**
 * Where spans go. Nothing waits for them, and what does not fit is dropped and counted. Where nobody wants traces there
 * is no tracer at all.
 */
export interface Tracer {
  begin(input: SpanInput): Span;
  /** Begins a trace, or goes on with one that a client has begun; undefined when it is not among those that are kept. */
  beginTrace(input: Omit<SpanInput, 'parent'> & { readonly traceparent: string | undefined }): Span | undefined;
  counts(): { readonly exported: number; readonly dropped: number; readonly failed: number };
}

/** A `traceparent` of W3C Trace Context, or undefined for what is none. `isSampled`: its maker keeps the trace. */
export function parseTraceparent(text: string): (TraceContext & { readonly isSampled: boolean }) | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text.trim()) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function toTraceparent({ traceId, spanId }: TraceContext): string {
  return `00-${traceId}-${spanId}-01`;
}
