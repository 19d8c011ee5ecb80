import { type Attributes, SPAN_KINDS, type SpanKind, type TraceContext } from '../core/tracing.ts';

/** A span that is over. */
export interface EndedSpan {
  readonly context: TraceContext;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Attributes;
  readonly failure: string | undefined;
}

const MAX_TEXT = 300;
const STATUS_ERROR = 2;

/** A batch in the JSON of OTLP (`ExportTraceServiceRequest`). */
export function toOtlp(spans: readonly EndedSpan[], resource: Attributes): object {
  return {
    resourceSpans: [
      { resource: { attributes: toPairs(resource) }, scopeSpans: [{ scope: { name: 'cloister' }, spans: spans.map(toSpan) }] },
    ],
  };
}

function toSpan({ context, parentSpanId, name, kind, startedAt, endedAt, attributes, failure }: EndedSpan): object {
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    name,
    kind: SPAN_KINDS.indexOf(kind) + 1,
    startTimeUnixNano: toNanoseconds(startedAt),
    endTimeUnixNano: toNanoseconds(endedAt),
    attributes: toPairs(attributes),
    status: failure === undefined ? {} : { code: STATUS_ERROR, message: failure.slice(0, MAX_TEXT) },
  };
}

function toNanoseconds(ms: number): string {
  return String(BigInt(Math.round(ms * 1000)) * 1000n);
}

function toPairs(attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value: toValue(value) }]));
}

function toValue(value: string | number | boolean): object {
  if (typeof value === 'string') return { stringValue: value.slice(0, MAX_TEXT) };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
