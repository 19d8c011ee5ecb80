import { type EgressDecision, egressDecisionSchema, egressListQuerySchema, pageOf } from '@cloister/api';
import { toTimestamp } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { EgressRecord } from '../../store/store.ts';
import { type RouteTable, route } from '../openapi.ts';
import { toBidirectionalPage } from './paging.ts';

export function egressRoutes(table: RouteTable): void {
  const { store, egress } = table.deps;
  route(
    table,
    {
      method: 'get',
      path: '/v1/sessions/{id}/egress',
      operationId: 'listSessionEgress',
      summary: 'List what the sandboxes of a session asked for of the network, and what was decided; the newest first',
      tag: 'Sessions',
      query: egressListQuerySchema,
      response: pageOf(egressDecisionSchema),
      problems: ['session_not_found', 'cursor_invalid'],
    },
    async ({ tenantId, query: { limit, page, outcome }, param }) => {
      const sessionId = param('id');
      if ((await store.sessions.find({ tenantId, id: sessionId })) === undefined) throw new PlatformError('session_not_found');
      // What was decided before the question is in the answer.
      await egress.flush();
      const found = await store.egress.list({ tenantId, sessionId, outcome, limit, page, order: 'desc' });
      return toBidirectionalPage({ ...found, data: found.data.map(toDecision) });
    },
  );
}

function toDecision(record: EgressRecord): EgressDecision {
  return {
    id: record.id,
    type: 'egress_decision',
    session_id: record.sessionId,
    sandbox_id: record.sandboxId,
    way: record.way,
    method: record.method,
    host: record.host,
    port: record.port,
    address: record.address,
    outcome: record.outcome,
    reason: record.reason,
    times: record.times,
    bytes_up: record.bytesUp,
    bytes_down: record.bytesDown,
    ending: record.ending,
    created_at: toTimestamp(record.createdAt),
    ended_at: record.endedAt === null ? null : toTimestamp(record.endedAt),
  };
}
