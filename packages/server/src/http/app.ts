import { Hono } from 'hono';
import { actAs } from '../audit/acting.ts';
import { authorise } from './access.ts';
import { acpRoutes } from './acp/routes.ts';
import { chooseAdapters } from './adapters/adapters.ts';
import { authenticate } from './auth.ts';
import { createOrigin, type FindOrigin } from './browser.ts';
import type { AppVariables, HttpDeps } from './context.ts';
import { renderError } from './errors.ts';
import { createLimits, isAlwaysAnswered } from './limits/limits.ts';
import { createMetrics } from './metrics.ts';
import { observeRequests } from './observe.ts';
import { createOpenRequests } from './open-requests.ts';
import { createDocument, type RouteTable } from './openapi.ts';
import { agentRoutes } from './routes/agents.ts';
import { apiKeyRoutes } from './routes/api-keys.ts';
import { approvalRoutes } from './routes/approvals.ts';
import { auditRoutes } from './routes/audit.ts';
import { budgetRoutes } from './routes/budgets.ts';
import { egressRoutes } from './routes/egress.ts';
import { encryptionKeyRoutes } from './routes/encryption-keys.ts';
import { environmentRoutes } from './routes/environments.ts';
import { eventRoutes } from './routes/events.ts';
import { fileRoutes } from './routes/files.ts';
import { forkRoutes } from './routes/fork.ts';
import { memoryRoutes } from './routes/memory.ts';
import { pageRoutes } from './routes/pages.ts';
import { planRoutes } from './routes/plans.ts';
import { providerRoutes } from './routes/providers.ts';
import { resourceRoutes } from './routes/resources.ts';
import { serviceRoutes } from './routes/services.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { signInRoutes } from './routes/sign-in.ts';
import { skillRoutes } from './routes/skills.ts';
import { snapshotRoutes } from './routes/snapshots.ts';
import { storedFileRoutes } from './routes/stored-files.ts';
import { closingRoutes, systemRoutes } from './routes/system.ts';
import { tenantRoutes } from './routes/tenants.ts';
import { turnRoutes } from './routes/turns.ts';
import { usageRoutes } from './routes/usage.ts';
import { userRoutes } from './routes/users.ts';
import { vaultRoutes } from './routes/vaults.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { workspaceRoutes } from './routes/workspace.ts';
import { securityHeaders } from './security-headers.ts';

export type App = Hono<{ Variables: AppVariables }>;

/** The whole HTTP surface. Every route is closed but for those that auth.ts names. */
export function createApp(deps: HttpDeps): App {
  const app: App = new Hono();
  const limits = createLimits(deps.limits, deps);
  const metrics = createMetrics({ ...deps, requests: limits.flights.current, streams: limits.streams.open });
  const table: RouteTable = { app, deps, limits, document: createDocument(), methods: new Map() };
  app.use(observeRequests({ ...deps, registry: metrics }));
  const { settings, credentials } = deps.access;
  const originOf = createOrigin(settings.publicUrl, limits.isFromTrusted);
  app.use(securityHeaders(originOf));
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
  const open = createOpenRequests(deps);
  app.use(authenticate({ ...deps, credentials, guard: limits.keyGuard, open, publicUrl: settings.publicUrl }));
  app.use((c, next) => {
    const principal = c.get('principal');
    return principal === undefined ? next() : actAs(`${principal.kind}:${principal.id}`, next);
  });
  app.use(limits.rates);
  app.use(authorise(deps.store));
  addRoutes(table, { metrics, originOf, adapters });
  return app;
}

interface RouteParts {
  readonly metrics: ReturnType<typeof createMetrics>;
  readonly originOf: FindOrigin;
  readonly adapters: ReturnType<typeof chooseAdapters>;
}

function addRoutes(table: RouteTable, { metrics, originOf, adapters }: RouteParts): void {
  systemRoutes(table, metrics);
  agentRoutes(table);
  environmentRoutes(table);
  approvalRoutes(table);
  auditRoutes(table);
  sessionRoutes(table);
  egressRoutes(table);
  eventRoutes(table);
  turnRoutes(table);
  fileRoutes(table);
  snapshotRoutes(table);
  forkRoutes(table);
  workspaceRoutes(table);
  storedFileRoutes(table);
  skillRoutes(table);
  memoryRoutes(table);
  resourceRoutes(table);
  webhookRoutes(table);
  vaultRoutes(table);
  providerRoutes(table);
  encryptionKeyRoutes(table);
  serviceRoutes(table);
  apiKeyRoutes(table);
  userRoutes(table, originOf);
  tenantRoutes(table, originOf);
  usageRoutes(table);
  budgetRoutes(table);
  planRoutes(table);
  signInRoutes(table, originOf);
  for (const adapter of adapters) adapter.routes(table);
  acpRoutes(table);
  pageRoutes(table);
  closingRoutes(table);
}
