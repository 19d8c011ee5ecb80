import type { MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Clock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import { type WorkContext, withWork } from '../base/work-context.ts';
import type { Tracer } from '../core/tracing.ts';
import type { AppContext, AppVariables } from './context.ts';
import { isAlwaysAnswered } from './limits/limits.ts';

export interface ObserveDeps {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tracer?: Tracer | undefined;
}

/** From an answer out of memory to one that waited for a turn. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** The request's id, with which all that is done for it is logged and traced; and how long its answer took to begin. */
export function observeRequests({ registry, clock, log, tracer }: ObserveDeps): MiddlewareHandler<{ Variables: AppVariables }> {
  const counter = new Counter({
    name: 'cloister_http_requests_total',
    help: 'HTTP answers',
    labelNames: ['method', 'route', 'status'],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: 'cloister_http_request_duration_seconds',
    help: 'How long the answer took to begin; of streams, until they were open',
    labelNames: ['method', 'route', 'status'],
    buckets: SECONDS,
    registers: [registry],
  });
  return async (c, next) => {
    const requestId = newId('request');
    c.set('requestId', requestId);
    c.header('request-id', requestId);
    const began = clock.monotonic();
    const work: WorkContext = { fields: { requestId } };
    const span = isAlwaysAnswered(c.req.path)
      ? undefined
      : tracer?.beginTrace({ name: c.req.method, kind: 'server', traceparent: c.req.header('traceparent') });
    if (span !== undefined) work.span = span.context;
    try {
      await withWork(work, next);
    } finally {
      // By the pattern, never by the path: ids must not become labels. A method of a client's own is none either.
      const method = METHODS.has(c.req.method) ? c.req.method : 'other';
      const route = patternOf(c);
      const { status } = c.res;
      counter.inc({ method, route, status });
      seconds.observe({ method, route, status: `${Math.floor(status / 100)}xx` }, (clock.monotonic() - began) / 1000);
      if (span !== undefined) {
        span.rename(`${method} ${route}`);
        span.set({
          'http.request.method': method,
          'http.route': route,
          'http.response.status_code': status,
          'cloister.request.id': requestId,
          'cloister.tenant.id': c.get('principal')?.tenantId,
        });
        span.end({ failure: status >= 500 ? `http_${status}` : undefined });
      }
    }
    log.debug({ requestId, method: c.req.method, path: c.req.path, status: c.res.status }, 'request');
  };
}

function patternOf(c: AppContext): string {
  return matchedRoutes(c).findLast((one) => one.method === c.req.method)?.path ?? 'none';
}
