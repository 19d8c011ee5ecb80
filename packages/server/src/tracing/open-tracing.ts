import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { VERSION } from '../base/version.ts';
import type { Tracer } from '../core/tracing.ts';
import type { TracingSettings } from '../core/tracing-settings.ts';
import type { TraceFetch } from './otlp-tracer.ts';

export interface OpenTracing {
  /** Undefined where nobody wants traces. */
  readonly tracer: Tracer | undefined;
  close(): Promise<void>;
}

export interface OpenTracingInput {
  readonly settings: TracingSettings | undefined;
  readonly fetch: TraceFetch;
  readonly clock: Clock;
  readonly log: Logger;
  readonly installation: string;
  readonly nodeId: string;
}

/** What sends traces is loaded only where they are wanted. */
export async function openTracing({ settings, fetch, clock, log, installation, nodeId }: OpenTracingInput): Promise<OpenTracing> {
  if (settings === undefined) return { tracer: undefined, close: async () => undefined };
  const { createOtlpTracer } = await import('./otlp-tracer.ts');
  const resource = { 'service.version': VERSION, 'service.instance.id': nodeId, 'cloister.installation': installation };
  const tracer = createOtlpTracer({ settings, fetch, clock, log, resource });
  return { tracer, close: tracer.close };
}
