import { randomBytes } from 'node:crypto';
import { type Clock, delay } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { redactKnown } from '../base/redaction/redaction.ts';
import { withWork } from '../base/work-context.ts';
import { type Attributes, parseTraceparent, type Span, type SpanInput, type TraceContext, type Tracer } from '../core/tracing.ts';
import type { TracingSettings } from '../core/tracing-settings.ts';
import { type EndedSpan, toOtlp } from './otlp-spans.ts';

export interface OtlpTracerDeps {
  readonly settings: TracingSettings;
  readonly fetch: TraceFetch;
  readonly clock: Clock;
  readonly log: Logger;
  /** What every span is of: installation, node, version. */
  readonly resource: Attributes;
}

/** What the collector is reached by. */
export type TraceFetch = (
  url: string,
  init: { method: string; headers: Record<string, string>; body: string; signal: AbortSignal; redirect: 'error' },
) => Promise<Response>;

export interface OtlpTracer extends Tracer {
  /** Sends what waits, within a bound. */
  close(): Promise<void>;
}

const MAX_WAITING = 4096;
const MAX_BATCH = 512;
const INTERVAL_MS = 2000;
const SEND_TIMEOUT_MS = 10_000;
const CLOSE_MS = 3000;
/** How often a batch is sent before it is given up. */
const TRIES = 3;
const RETRY_MS = 1000;

/** Sends spans in batches to a collector, by OTLP over HTTP with JSON. A collector that is slow or gone costs spans and nothing else. */
export function createOtlpTracer({ settings, fetch, clock, log, resource }: OtlpTracerDeps): OtlpTracer {
  const counts = { exported: 0, dropped: 0, failed: 0 };
  const giveUp = new AbortController();
  let waiting: EndedSpan[] = [];
  let sending: Promise<void> | undefined;
  let hasFailed = false;
  // The sender serves all requests and is part of none.
  const cancel = withWork({ fields: {} }, () => clock.every(INTERVAL_MS, flush));

  function add(span: EndedSpan): void {
    if (waiting.length >= MAX_WAITING) counts.dropped++;
    else waiting.push(span);
    if (waiting.length >= MAX_BATCH) flush();
  }

  function flush(): void {
    if (waiting.length === 0) return;
    sending ??= withWork({ fields: {} }, sendAll).finally(() => {
      sending = undefined;
    });
  }

  async function sendAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MAX_BATCH);
      waiting = waiting.slice(MAX_BATCH);
      const failure = await sendBatch(JSON.stringify(toOtlp(batch, { 'service.name': settings.serviceName, ...resource })));
      if (failure === undefined) counts.exported += batch.length;
      else counts.failed += batch.length;
      if (failure !== undefined && !hasFailed)
        log.warn({ err: failure }, 'traces could not be sent; they are dropped until the collector answers');
      if (failure === undefined && hasFailed) log.info('the collector of traces answers again');
      hasFailed = failure !== undefined;
    }
  }

  async function sendBatch(body: string): Promise<unknown> {
    let failure: unknown;
    for (let attempt = 1; attempt <= TRIES && !giveUp.signal.aborted; attempt++) {
      try {
        const status = await post(fetch, settings, redactKnown(body), giveUp.signal);
        if (status < 300) return undefined;
        failure = new Error(`The collector answered ${status}.`);
        // Anything else would be answered so again.
        if (status !== 429 && status < 500) return failure;
      } catch (error) {
        failure = error;
      }
      // Aborted: there is no time for another try.
      if (attempt < TRIES) await delay(clock, RETRY_MS * attempt, giveUp.signal).catch(() => undefined);
    }
    return failure ?? giveUp.signal.reason;
  }

  const begin = (input: SpanInput) => beginSpan(input, { now: clock.now, add });
  return {
    begin,
    beginTrace({ traceparent, ...input }) {
      const parent = traceparent === undefined ? undefined : parseTraceparent(traceparent);
      if (parent !== undefined) return parent.isSampled ? begin({ ...input, parent }) : undefined;
      return isKept(settings.sampledPart) ? begin(input) : undefined;
    },
    counts: () => ({ ...counts }),
    async close() {
      cancel();
      const cancelTimer = clock.after(CLOSE_MS, () => giveUp.abort(new Error('the server ends')));
      flush();
      await sending;
      cancelTimer();
    },
  };
}

/** Answers the collector's status. */
async function post(fetch: TraceFetch, { url, headers }: TracingSettings, body: string, giveUp: AbortSignal): Promise<number> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
    signal: AbortSignal.any([giveUp, AbortSignal.timeout(SEND_TIMEOUT_MS)]),
    redirect: 'error',
  });
  await response.body?.cancel();
  return response.status;
}

function isKept(part: number): boolean {
  return part >= 1 || randomBytes(4).readUInt32BE() / 2 ** 32 < part;
}

interface SpanDeps {
  readonly now: () => number;
  readonly add: (span: EndedSpan) => void;
}

function beginSpan({ name: first, kind = 'internal', parent, startedAt, attributes: given = {} }: SpanInput, { now, add }: SpanDeps): Span {
  const context: TraceContext = {
    traceId: parent?.traceId ?? randomBytes(16).toString('hex'),
    spanId: randomBytes(8).toString('hex'),
  };
  const began = startedAt ?? now();
  let name = first;
  let attributes = given;
  let isEnded = false;
  return {
    context,
    rename(next) {
      name = next;
    },
    set(more) {
      attributes = { ...attributes, ...more };
    },
    end({ at, failure } = {}) {
      if (isEnded) return;
      isEnded = true;
      // A clock that was set back must not make a span end before it begins.
      const endedAt = Math.max(began, at ?? now());
      add({ context, parentSpanId: parent?.spanId, name, kind, startedAt: began, endedAt, attributes, failure });
    },
  };
}
