import { approvalAnswerSchema, approvalListQuerySchema, approvalSchema, pageOf } from '@cloister/api';
import { toApprovalState } from '../../approvals/wire.ts';
import { actingNow } from '../../audit/acting.ts';
import { type RouteTable, route } from '../openapi.ts';
import { toBidirectionalPage } from './paging.ts';

const tag = 'Approvals';
const MISSING = ['approval_not_found'] as const;
const MICROS = 1_000_000;

export function approvalRoutes(table: RouteTable): void {
  const { approvals } = table.deps;
  route(
    table,
    {
      method: 'get',
      path: '/v1/approvals',
      operationId: 'listApprovals',
      summary: 'List what people were asked, the newest first; with `states[]=pending` what waits for an answer',
      tag,
      query: approvalListQuerySchema,
      response: pageOf(approvalSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query: { limit, page, order, session_id: sessionId, agent_id: agentId, ...query } }) => {
      const states = (query['states[]'] ?? query.states)?.map(toApprovalState);
      return toBidirectionalPage(await approvals.list(tenantId, { limit, page, order, sessionId, agentId, states }));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/approvals/{id}',
      operationId: 'getApproval',
      summary: 'Get an approval',
      tag,
      response: approvalSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => approvals.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/approvals/{id}/answer',
      operationId: 'answerApproval',
      summary: 'Allow or deny; the first answer counts',
      tag,
      body: approvalAnswerSchema,
      response: approvalSchema,
      problems: [...MISSING, 'approval_answered', 'session_archived'],
    },
    ({ tenantId, body: { decision, scope, message, raise }, reservation: { isRepeat }, param }) => {
      const raiseMicros = raise === undefined ? undefined : Math.round(raise * MICROS);
      return approvals.answer({ tenantId, id: param('id'), actor: actingNow(), decision, scope, message, raiseMicros, isRepeat });
    },
  );
}
