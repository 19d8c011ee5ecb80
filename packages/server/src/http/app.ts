import { Hono } from 'hono';
import { newId } from '../base/ids.ts';
import { authorise } from './access.ts';
import { chooseAdapters } from './adapters/adapters.ts';
import { authenticate } from './auth.ts';
import type { AppVariables, HttpDeps } from './context.ts';
import { renderError } from './errors.ts';
import { createLimits, isAlwaysAnswered } from './limits/limits.ts';
import { countRequests, createMetrics } from './metrics.ts';
import { createDocument, type RouteTable } from './openapi.ts';
import { agentRoutes } from './routes/agents.ts';
import { egressRoutes } from './routes/egress.ts';
import { environmentRoutes } from './routes/environments.ts';
import { eventRoutes } from './routes/events.ts';
import { fileRoutes } from './routes/files.ts';
import { forkRoutes } from './routes/fork.ts';
import { pageRoutes } from './routes/pages.ts';
import { serviceRoutes } from './routes/services.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { snapshotRoutes } from './routes/snapshots.ts';
import { closingRoutes, systemRoutes } from './routes/system.ts';
import { turnRoutes } from './routes/turns.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { workspaceRoutes } from './routes/workspace.ts';

export type App = Hono<{ Variables: AppVariables }>;

/** The whole HTTP surface. Every route is closed but for those that auth.ts names. */
export function createApp(deps: HttpDeps): App {
  const app: App = new Hono();
  const limits = createLimits(deps.limits, deps);
  const metrics = createMetrics({ ...deps, requests: limits.flights.current, streams: limits.streams.open });
  const table: RouteTable = { app, deps, limits, document: createDocument(), methods: new Map() };
  app.use(async (c, next) => {
    const requestId = newId('request');
    c.set('requestId', requestId);
    c.header('request-id', requestId);
    c.header('X-Content-Type-Options', 'nosniff');
    c.header('Referrer-Policy', 'no-referrer');
    c.header('X-Frame-Options', 'DENY');
    await next();
    deps.log.debug({ requestId, method: c.req.method, path: c.req.path, status: c.res.status }, 'request');
  });
  app.use(countRequests(metrics));
  const adapters = chooseAdapters(deps.adapters);
  app.onError((error, c) =>
    renderError(
      c,
      error,
      deps.log,
      adapters.find(({ owns }) => owns(c.req.path)),
    ),
  );
  app.use(async (c, next) => {
    const flight = limits.flights.begin({ isAlwaysAnswered: isAlwaysAnswered(c.req.path) });
    c.set('flight', flight);
    try {
      await next();
    } finally {
      flight.land();
    }
  });
  app.use(authenticate(deps.store, limits.keyGuard));
  app.use(limits.rates);
  app.use(authorise(deps.store));
  systemRoutes(table, metrics);
  agentRoutes(table);
  environmentRoutes(table);
  sessionRoutes(table);
  egressRoutes(table);
  eventRoutes(table);
  turnRoutes(table);
  fileRoutes(table);
  snapshotRoutes(table);
  forkRoutes(table);
  workspaceRoutes(table);
  webhookRoutes(table);
  serviceRoutes(table);
  for (const adapter of adapters) adapter.routes(table);
  pageRoutes(table);
  closingRoutes(table);
  return app;
}
