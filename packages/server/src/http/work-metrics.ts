import type { Health } from '@cloister/api';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Clock } from '../base/clock.ts';
import type { Tracer } from '../core/tracing.ts';
import type { Store } from '../store/store.ts';
import type { RunTally } from '../turns/run-tally.ts';
import { cutReaders } from './sse.ts';

export interface WorkSources {
  readonly store: Pick<Store, 'turns'>;
  readonly clock: Clock;
  readonly tally: RunTally;
  readonly tracer: Tracer | undefined;
  readonly health: () => Health;
  readonly version: string;
  readonly about: { readonly runtime: string; readonly store: string };
}

const HEALTH_VALUES = { healthy: 0, degraded: 1, unhealthy: 2 } as const;

/** What waits, what became of turns and their leases, and how the server is. */
export function workMetrics(registry: Registry, sources: WorkSources): void {
  const registers = [registry];
  new Gauge({
    name: 'cloister_build_info',
    help: 'Always 1; the labels say what runs',
    labelNames: ['version', 'node', 'runtime', 'store'],
    registers,
  }).set({ version: sources.version, node: process.version, ...sources.about }, 1);
  new Gauge({
    name: 'cloister_health',
    help: 'What each check of /health says: 0 healthy, 1 degraded, 2 unhealthy',
    labelNames: ['check'],
    registers,
    collect() {
      this.reset();
      for (const [check, { status }] of Object.entries(sources.health().checks)) this.set({ check }, HEALTH_VALUES[status]);
    },
  });
  queueMetrics(registry, sources);
  tallyMetrics(registry, sources.tally);
  new Counter({
    name: 'cloister_stream_readers_cut_total',
    help: 'Readers of event streams that did not read, and were cut',
    registers,
    collect() {
      this.reset();
      this.inc(cutReaders());
    },
  });
  if (sources.tracer !== undefined) traceMetrics(registry, sources.tracer);
}

function queueMetrics(registry: Registry, { store, clock }: WorkSources): void {
  const approvals = new Gauge({
    name: 'cloister_approvals_open',
    help: 'Questions to people that nobody has answered yet',
    registers: [registry],
  });
  new Gauge({
    name: 'cloister_queue_oldest_seconds',
    help: 'For how long the oldest queued turn has waited; 0 when none waits',
    registers: [registry],
    async collect() {
      const { oldestQueuedAt, openApprovals } = await store.turns.waits();
      approvals.set(openApprovals);
      this.set(oldestQueuedAt === undefined ? 0 : Math.max(0, clock.now() - oldestQueuedAt) / 1000);
    },
  });
}

function tallyMetrics(registry: Registry, tally: RunTally): void {
  new Counter({
    name: 'cloister_leases_total',
    help: 'Leases on turns of this server, by what became of them: taken, renewed, lost, taken over from a server that is gone',
    labelNames: ['event'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [event, count] of Object.entries(tally.leases())) this.inc({ event }, count);
    },
  });
  new Counter({
    name: 'cloister_turns_ended_total',
    help: 'Turns that this server has ended, by outcome and by the code of the problem',
    labelNames: ['outcome', 'code'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { outcome, code, count } of tally.turns()) this.inc({ outcome, code }, count);
    },
  });
}

function traceMetrics(registry: Registry, tracer: Tracer): void {
  new Counter({
    name: 'cloister_trace_spans_total',
    help: 'Spans that were sent to the collector, that it did not take, and that were dropped before',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [outcome, count] of Object.entries(tracer.counts())) this.inc({ outcome }, count);
    },
  });
}
