import {
  pageOf,
  type ServiceLogLine,
  type ServiceStats,
  serviceCallbackAnswerSchema,
  serviceCallbackSchema,
  serviceCreateSchema,
  serviceEventListQuerySchema,
  serviceEventSchema,
  serviceListQuerySchema,
  serviceLogsQuerySchema,
  serviceSchema,
} from '@cloister/api';
import type { ContainerStats, LogLine } from '../../runtime/services.ts';
import type { AppContext } from '../context.ts';
import { lineStream } from '../line-stream.ts';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'Services';
const MISSING = ['service_not_found'] as const;
const WITH_CONTAINER = [...MISSING, 'service_not_running', 'service_elsewhere', 'capability_unsupported', 'runtime_unreachable'] as const;

export function serviceRoutes(table: RouteTable): void {
  resourceRoutes(table);
  actionRoutes(table);
  outputRoutes(table);
  callbackRoute(table);
}

function resourceRoutes(table: RouteTable): void {
  const { services } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/services',
      operationId: 'createService',
      summary: 'Deploy an always-on agent: it is started, and kept running',
      tag,
      body: serviceCreateSchema,
      status: 202,
      response: serviceSchema,
      problems: ['service_limit_reached', 'service_ports_exhausted', 'image_missing', 'capability_unsupported', 'runtime_unreachable'],
    },
    ({ tenantId, body, reservation }) => services.create(tenantId, body, reservation.idFor('service')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/services',
      operationId: 'listServices',
      summary: 'List services',
      tag,
      query: serviceListQuerySchema,
      response: pageOf(serviceSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query }) => toPage(await services.list(tenantId, { limit: query.limit, page: query.page, order: 'desc' })),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/services/{id}',
      operationId: 'getService',
      summary: 'Get a service',
      tag,
      response: serviceSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => services.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/services/{id}',
      operationId: 'deleteService',
      summary: 'Delete a service with its data; it is stopped first, and gone when it is no longer found',
      tag,
      status: 202,
      response: serviceSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => services.remove(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/services/{id}/events',
      operationId: 'listServiceEvents',
      summary: 'List what has happened to a service; the last 1000 are kept',
      tag,
      query: serviceEventListQuerySchema,
      response: pageOf(serviceEventSchema),
      problems: [...MISSING, 'cursor_invalid'],
    },
    async ({ tenantId, query, param }) => {
      const { limit, page, order } = query;
      return toPage(await services.listEvents(tenantId, param('id'), { limit, page, order }));
    },
  );
}

const ACTIONS = [
  ['start', 'startService', 'Start a service that was stopped or has failed'],
  ['stop', 'stopService', 'Stop a service; it keeps its port and its data'],
  ['restart', 'restartService', 'Replace the container of a service by a new one'],
] as const;

function actionRoutes(table: RouteTable): void {
  const { services } = table.deps;
  for (const [action, operationId, summary] of ACTIONS)
    route(
      table,
      {
        method: 'post',
        path: `/v1/services/{id}/${action}`,
        operationId,
        summary,
        tag,
        status: 202,
        response: serviceSchema,
        problems: [...MISSING, 'service_deleting'],
      },
      ({ tenantId, param }) => services[action](tenantId, param('id')),
    );
}

function outputRoutes(table: RouteTable): void {
  const { services } = table.deps;
  route(
    table,
    {
      method: 'get',
      path: '/v1/services/{id}/logs',
      operationId: 'streamServiceLogs',
      summary: 'Stream the output of a service: the last lines, and with `follow` the new ones',
      tag,
      query: serviceLogsQuerySchema,
      response: { mediaType: 'text/event-stream', description: '`event: log`, `data:` with `stream`, `at` and `text`' },
      problems: [...WITH_CONTAINER, 'capacity_exhausted'],
    },
    ({ c, tenantId, query, param }) =>
      stream(table, { c, tenantId, event: 'log' }, async (signal) => {
        const { tail, follow = false } = query;
        return mapped(await services.logs(tenantId, param('id'), { tail, follow, signal }), toLogLine);
      }),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/services/{id}/stats',
      operationId: 'streamServiceStats',
      summary: 'Stream what a service uses, about once a second',
      tag,
      response: { mediaType: 'text/event-stream', description: '`event: stats`, `data:` with the numbers' },
      problems: [...WITH_CONTAINER, 'capacity_exhausted'],
    },
    ({ c, tenantId, param }) =>
      stream(table, { c, tenantId, event: 'stats' }, async (signal) =>
        mapped(await services.stats(tenantId, param('id'), signal), toStats),
      ),
  );
}

async function stream(
  { deps, limits }: RouteTable,
  { c, tenantId, event }: { readonly c: AppContext; readonly tenantId: string; readonly event: string },
  open: (signal: AbortSignal) => Promise<AsyncIterable<object>>,
): Promise<Response> {
  const headers = {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no',
  };
  const abort = new AbortController();
  const items = await open(abort.signal);
  // Nobody would read the stream of a HEAD, nor ever close it.
  if (c.req.method === 'HEAD') return c.body(null, 200, headers);
  return c.body(lineStream(deps, { items, event, abort, onEnd: limits.streams.take(tenantId) }), 200, headers);
}

function callbackRoute(table: RouteTable): void {
  const { services } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/services/{id}/callback',
      operationId: 'reportService',
      summary: 'For the program of a service: tells how it is doing, with the token in /run/cloister/callback-token',
      tag,
      headers: { Authorization: '`Bearer <token>`, or the token as `X-Webhook-Token`' },
      keepsOwnKeys: true,
      isPublic: true,
      body: serviceCallbackSchema,
      response: serviceCallbackAnswerSchema,
      problems: ['request_invalid', 'credentials_invalid', 'overloaded', 'store_unavailable'],
    },
    async ({ c, body, param }) => {
      const bearer = /^Bearer\s+(\S+)\s*$/i.exec(c.req.header('authorization') ?? '')?.[1];
      await services.report(param('id'), c.req.header('x-webhook-token')?.trim() ?? bearer, body);
      return { received: true as const };
    },
  );
}

async function* mapped<A, B>(items: AsyncIterable<A>, map: (item: A) => B): AsyncGenerator<B> {
  for await (const item of items) yield map(item);
}

function toLogLine({ stream: from, at, text }: LogLine): ServiceLogLine {
  return { stream: from, at, text };
}

function toStats(stats: ContainerStats): ServiceStats {
  return {
    at: stats.at,
    cpu_percent: stats.cpuPercent,
    memory_bytes: stats.memoryBytes,
    memory_limit_bytes: stats.memoryLimitBytes,
    pids: stats.pids,
    received_bytes: stats.receivedBytes,
    sent_bytes: stats.sentBytes,
  };
}
