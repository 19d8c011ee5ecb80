import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Refusals } from '../base/refusals.ts';
import type { EgressReport } from '../core/egress-report.ts';
import type { AttemptCounts } from '../outbox/outbox-worker.ts';
import type { ReconcilerReport } from '../runtime/upkeep.ts';
import type { LiveSandboxInfo } from '../sandboxes/live-sandboxes.ts';
import type { WarmInfo, WarmPool } from '../sandboxes/pool/warm-pool.ts';
import type { StageLog } from '../sandboxes/stages.ts';
import type { Store } from '../store/store.ts';
import type { SpendingParts } from '../usage/wiring.ts';
import { spendingMetrics } from './spending-metrics.ts';
import { type WorkSources, workMetrics } from './work-metrics.ts';

export interface MetricSources extends WorkSources {
  readonly store: Store;
  readonly egress: EgressReport;
  readonly spending: Pick<SpendingParts, 'records' | 'reports'>;
  readonly sandboxes: () => readonly LiveSandboxInfo[];
  readonly stages: StageLog;
  /** Undefined where no sandboxes stand ready. */
  readonly pool: Pick<WarmPool, 'list' | 'tally'> | undefined;
  readonly deliveryAttempts: () => AttemptCounts;
  /** What retention has removed here, by kind. */
  readonly purged: () => ReadonlyMap<string, number>;
  readonly reconciler: () => ReconcilerReport;
  readonly refusals: Refusals;
  readonly requests: () => number;
  readonly streams: () => number;
}

const SANDBOX_STATES: readonly LiveSandboxInfo['state'][] = ['starting', 'busy', 'idle', 'paused', 'hibernated', 'stopping'];

/** The process's own metrics, and what waits and runs; read when asked for. */
export function createMetrics(sources: MetricSources): Registry {
  const { store, sandboxes, deliveryAttempts } = sources;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'cloister_turns',
    help: 'Turns that have not ended, by state',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      const counts = await store.turns.counts();
      this.set({ state: 'queued' }, counts.queued);
      this.set({ state: 'running' }, counts.running);
      this.set({ state: 'waiting_approval' }, counts.waitingApproval);
    },
  });
  new Gauge({
    name: 'cloister_sandboxes',
    help: 'Live sandboxes, by state',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      this.reset();
      for (const state of SANDBOX_STATES) this.set({ state }, 0);
      for (const { state } of sandboxes()) this.inc({ state });
    },
  });
  stageMetrics(registry, sources.stages);
  if (sources.pool !== undefined) warmMetrics(registry, sources.pool);
  outboxMetrics(registry, store, deliveryAttempts);
  egressMetrics(registry, sources.egress);
  spendingMetrics(registry, sources.spending);
  reconcilerMetrics(registry, sources.reconciler);
  loadMetrics(registry, sources);
  workMetrics(registry, sources);
  return registry;
}

const WARM_STATES: readonly WarmInfo['state'][] = ['warming', 'ready', 'paused', 'hibernated', 'claimed'];

function warmMetrics(registry: Registry, { list, tally }: Pick<WarmPool, 'list' | 'tally'>): void {
  new Gauge({
    name: 'cloister_warm_sandboxes',
    help: 'Sandboxes that stand ready for new sessions, by state',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      for (const state of WARM_STATES) this.set({ state }, 0);
      for (const { state } of list()) this.inc({ state });
    },
  });
  new Counter({
    name: 'cloister_warm_claims_total',
    help: 'New sessions that got a sandbox which stood ready (reason hit), and those that did not, by reason',
    labelNames: ['outcome', 'reason'],
    registers: [registry],
    collect() {
      this.reset();
      const { hits, misses } = tally();
      this.inc({ outcome: 'hit', reason: 'hit' }, hits);
      for (const [reason, count] of Object.entries(misses)) this.inc({ outcome: 'miss', reason }, count);
    },
  });
  new Counter({
    name: 'cloister_warm_lost_total',
    help: 'Sandboxes for new sessions that could not be started, or ended before a session had them',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(tally().lost);
    },
  });
}

function egressMetrics(registry: Registry, egress: MetricSources['egress']): void {
  new Counter({
    name: 'cloister_egress_decisions_total',
    help: 'What sandboxes asked for of the network and this server decided, by outcome and reason',
    labelNames: ['outcome', 'reason'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { outcome, reason, count } of egress.counts()) this.inc({ outcome, reason }, count);
    },
  });
  new Counter({
    name: 'cloister_egress_bytes_total',
    help: 'Bytes between sandboxes and allowed hosts, both ways',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(egress.bytes());
    },
  });
  new Counter({
    name: 'cloister_egress_audit_dropped_total',
    help: 'Decisions that are counted but were not kept, since the store did not keep up',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(egress.dropped());
    },
  });
}

function reconcilerMetrics(registry: Registry, report: MetricSources['reconciler']): void {
  const perKind = (name: string, help: string, field: 'removed' | 'failures') =>
    new Counter({
      name,
      help,
      labelNames: ['kind'],
      registers: [registry],
      collect() {
        this.reset();
        for (const [kind, counts] of report().kinds) this.inc({ kind }, counts[field]);
      },
    });
  const whole = (name: string, help: string, field: 'resumed' | 'lost') =>
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(report()[field]);
      },
    });
  perKind('cloister_residue_removed_total', 'What was removed since nobody owned it, by kind', 'removed');
  perKind('cloister_residue_failures_total', 'What nobody owns and could not be listed or removed, by kind', 'failures');
  whole('cloister_sandboxes_resumed_total', 'Sandboxes that somebody else paused in the midst of their work', 'resumed');
  whole('cloister_sandboxes_lost_total', 'Sandboxes in use that were found to be gone', 'lost');
}

/** From a few milliseconds, which a live sandbox takes, to the minute in which a start fails. */
const STAGE_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

function stageMetrics(registry: Registry, stages: StageLog): void {
  const histogram = new Histogram({
    name: 'cloister_stage_seconds',
    help: 'How long each stage took on the way to the first word of an agent: of turns, and of the starts of sandboxes',
    labelNames: ['stage'],
    buckets: STAGE_SECONDS,
    registers: [registry],
  });
  stages.listen((stage, ms) => histogram.observe({ stage }, ms / 1000));
}

function loadMetrics(registry: Registry, { refusals, requests, streams, purged }: MetricSources): void {
  new Counter({
    name: 'cloister_retention_purged_total',
    help: 'Rows that this server has removed since their time was over, by kind; pages are those of the file of SQLite',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [kind, count] of purged()) this.inc({ kind }, count);
    },
  });
  new Gauge({
    name: 'cloister_http_requests_under_way',
    help: 'Requests that are being worked on',
    registers: [registry],
    collect() {
      this.set(requests());
    },
  });
  new Gauge({
    name: 'cloister_streams',
    help: 'Open event streams, and requests that wait for their turn',
    registers: [registry],
    collect() {
      this.set(streams());
    },
  });
  new Counter({
    name: 'cloister_refusals_total',
    help: 'What this server turned away to protect itself, by reason',
    labelNames: ['reason'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [reason, count] of refusals.counts()) this.inc({ reason }, count);
    },
  });
}

function outboxMetrics(registry: Registry, store: Store, deliveryAttempts: MetricSources['deliveryAttempts']): void {
  new Gauge({
    name: 'cloister_deliveries',
    help: 'Deliveries that wait, and those that failed for good, by state',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      for (const [state, count] of Object.entries(await store.outbox.counts())) this.set({ state }, count);
    },
  });
  new Counter({
    name: 'cloister_delivery_attempts_total',
    help: 'Attempts at deliveries by this server, by outcome',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [outcome, count] of Object.entries(deliveryAttempts())) this.inc({ outcome }, count);
    },
  });
}
