import { modelCallListQuerySchema, modelCallSchema, pageOf, usageQuerySchema, usageReportSchema } from '@cloister/api';
import type { z } from 'zod';
import type { UsageFilter } from '../../store/store.ts';
import type { Principal } from '../context.ts';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'Usage';

export function usageRoutes(table: RouteTable): void {
  const { reports } = table.deps.spending;
  route(
    table,
    {
      method: 'get',
      path: '/v1/usage',
      operationId: 'getUsage',
      summary: 'What models have cost: exact sums by day, agent, model, tenant or session, as JSON or CSV',
      tag,
      query: usageQuerySchema,
      response: usageReportSchema,
      problems: ['cursor_invalid'],
    },
    async ({ c, principal, query }) => {
      const { limit, page, order = 'asc', group_by: groups = ['day'] } = query;
      const filter = filterOf(principal, query);
      const wantsCsv = query.format === 'csv' || (query.format === undefined && /\btext\/csv\b/i.test(c.req.header('accept') ?? ''));
      if (wantsCsv) return csvResponse(reports.csv({ ...filter, groups, order }));
      const [sums, total] = await Promise.all([reports.sums({ ...filter, groups, limit, page, order }), reports.total(filter)]);
      return { ...toPage(sums), prev_page: sums.prev, currency: reports.currency, total };
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/usage/calls',
      operationId: 'listModelCalls',
      summary: 'List single model calls, the newest first',
      tag,
      query: modelCallListQuerySchema,
      response: pageOf(modelCallSchema),
      problems: ['cursor_invalid'],
    },
    async ({ principal, query }) => {
      const { limit, page, order = 'desc' } = query;
      const calls = await reports.calls({ ...filterOf(principal, query), limit, page, order });
      return { ...toPage(calls), prev_page: calls.prev };
    },
  );
}

type FilterQuery = z.output<typeof modelCallListQuerySchema>;

/** Nobody else's tenant can be named: asked for, it is as one that has used nothing. */
function filterOf({ tenantId: own, isOperator }: Principal, query: Omit<FilterQuery, 'limit' | 'page' | 'order'>): UsageFilter {
  const { tenant_id: asked, agent_id: agentId, session_id: sessionId, provider, model } = query;
  const tenantId = isOperator ? asked : own;
  const isForeign = !isOperator && asked !== undefined && asked !== own;
  return {
    tenantId: isForeign ? '' : tenantId,
    agentId,
    sessionId,
    provider,
    model,
    from: toDay(query.from),
    to: toDay(query.to),
  };
}

function toDay(day: string | undefined): number | undefined {
  return day === undefined ? undefined : Date.parse(`${day}T00:00:00Z`);
}

function csvResponse(lines: AsyncGenerator<string, void>): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await lines.next();
      if (next.done === true) controller.close();
      else controller.enqueue(encoder.encode(next.value));
    },
    async cancel() {
      await lines.return();
    },
  });
  const headers = { 'content-type': 'text/csv; charset=utf-8; header=present', 'content-disposition': 'attachment; filename="usage.csv"' };
  return new Response(body, { headers });
}
