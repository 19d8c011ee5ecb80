import { type Health, healthSchema, pageOf, readinessSchema, sandboxDeletedSchema, sandboxSchema, statusSchema } from '@cloister/api';
import type { Registry } from 'prom-client';
import { PlatformError } from '../../base/errors.ts';
import { openApiDocument, type RouteTable, route } from '../openapi.ts';

const tag = 'System';

/** Health, status, metrics and the document of the API itself. */
export function systemRoutes(table: RouteTable, metrics: Registry): void {
  const { deps } = table;
  route(
    table,
    {
      method: 'get',
      path: '/health',
      operationId: 'getHealth',
      summary: 'Whether the server can serve, and what each part says',
      tag,
      isPublic: true,
      response: healthSchema,
    },
    async ({ c }) => {
      const health = deps.health();
      return c.json(health, isServing(health) ? 200 : 503);
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/health/live',
      operationId: 'getLiveness',
      summary: 'Whether the process answers',
      tag,
      isPublic: true,
      response: readinessSchema,
    },
    async () => ({ status: 'healthy' as const }),
  );
  route(
    table,
    {
      method: 'get',
      path: '/health/ready',
      operationId: 'getReadiness',
      summary: 'Whether the server can serve: 200, else 503',
      tag,
      isPublic: true,
      response: readinessSchema,
    },
    async ({ c }) => {
      const health = deps.health();
      return c.json({ status: health.status }, isServing(health) ? 200 : 503);
    },
  );
  route(
    table,
    { method: 'get', path: '/v1/status', operationId: 'getStatus', summary: 'What this server runs on', tag, response: statusSchema },
    ({ tenantId }) => deps.status(tenantId),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/sandboxes',
      operationId: 'listSandboxes',
      summary: 'The live sandboxes',
      tag,
      response: pageOf(sandboxSchema),
    },
    async ({ tenantId }) => {
      const live = deps.sandboxes();
      const owned = await Promise.all(live.map((one) => deps.store.sessions.find({ tenantId, id: one.sessionId })));
      const data = live
        .filter((_, index) => owned[index] !== undefined)
        .map((one) => ({ ...deps.describeSandbox(one), type: 'sandbox' as const, session_id: one.sessionId, stages: one.stages }));
      return { data, next_page: null };
    },
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/sandboxes/{id}',
      operationId: 'deleteSandbox',
      summary: 'Stop a live sandbox that no turn uses; its session goes on, with a new one when it needs one',
      tag,
      response: sandboxDeletedSchema,
      problems: ['sandbox_not_found', 'session_busy'],
    },
    ({ tenantId, param }) => removeSandbox(deps, tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/metrics',
      operationId: 'getMetrics',
      summary: 'Metrics in the Prometheus text format',
      tag,
      response: { mediaType: 'text/plain', description: 'Prometheus text format' },
    },
    async ({ c }) => c.body(await metrics.metrics(), 200, { 'Content-Type': metrics.contentType }),
  );
  // More than a megabyte: made once, at the first asking, and sent as it is.
  let document: string | undefined;
  route(
    table,
    {
      method: 'get',
      path: '/openapi.json',
      operationId: 'getOpenApi',
      summary: 'This document',
      tag,
      response: { mediaType: 'application/json', description: 'OpenAPI 3.1' },
    },
    async ({ c }) => {
      document ??= JSON.stringify(openApiDocument(table));
      return c.body(document, 200, { 'Content-Type': 'application/json' });
    },
  );
}

/** A turn may take it in between: then it stays, as it does when one has it already. */
async function removeSandbox(
  { sandboxes, store, discardIdleSandbox }: RouteTable['deps'],
  tenantId: string,
  id: string,
): Promise<{ id: string; type: 'sandbox_deleted' }> {
  const find = () => sandboxes().find(({ sandboxId }) => sandboxId === id);
  const sessionId = find()?.sessionId;
  const session = sessionId === undefined ? undefined : await store.sessions.find({ tenantId, id: sessionId });
  if (session === undefined) throw new PlatformError('sandbox_not_found', { detail: `There is no live sandbox ${id.slice(0, 100)} here.` });
  await discardIdleSandbox({ tenantId, sessionId: session.id });
  if (find() !== undefined) throw new PlatformError('session_busy', { detail: `A turn of ${session.id} uses its sandbox.` });
  return { id, type: 'sandbox_deleted' };
}

const isServing = (health: Health): boolean => health.status !== 'unhealthy';

/** A known path with another method is told which it has; anything else does not exist. */
export function closingRoutes({ app, methods }: RouteTable): void {
  for (const [path, known] of methods) {
    app.all(path, (c) => {
      const allowed = [...known, ...(known.has('GET') ? ['HEAD'] : [])].join(', ');
      c.header('Allow', allowed);
      throw new PlatformError('method_not_allowed', { detail: `${c.req.method} is not among ${allowed}.` });
    });
  }
  app.notFound((c) => {
    throw new PlatformError('route_not_found', { detail: `There is no ${c.req.method} ${c.req.path.slice(0, 200)}.` });
  });
}
