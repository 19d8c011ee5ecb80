import type { MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { LiveSandboxInfo } from '../sandboxes/live-sandboxes.ts';
import type { Store } from '../store/store.ts';
import type { AppVariables } from './context.ts';

export interface MetricSources {
  readonly store: Store;
  readonly sandboxes: () => readonly LiveSandboxInfo[];
}

/** The process's own metrics, and what waits and runs; read when asked for. */
export function createMetrics({ store, sandboxes }: MetricSources): Registry {
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
    help: 'Live sandboxes',
    registers: [registry],
    collect() {
      this.set(sandboxes().length);
    },
  });
  return registry;
}

/** Counts answers by route pattern, never by path: ids must not become labels. */
export function countRequests(registry: Registry): MiddlewareHandler<{ Variables: AppVariables }> {
  const counter = new Counter({
    name: 'cloister_http_requests_total',
    help: 'HTTP answers',
    labelNames: ['method', 'route', 'status'],
    registers: [registry],
  });
  return async (c, next) => {
    await next();
    const pattern = matchedRoutes(c).findLast((one) => one.method === c.req.method)?.path ?? 'none';
    counter.inc({ method: c.req.method, route: pattern, status: c.res.status });
  };
}
